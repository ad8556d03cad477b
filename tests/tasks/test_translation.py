import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data.pieces import Pieces
from jdl.data.text import BytePairTokenizer
from jdl.errors import UserError
from jdl.tasks.translation import Translation

SENTENCES = [
    ("神光あれと言たまひければ", "And God said, let there be light."),
    ("イエス涙をながし給ふ。", "Jesus wept, and the others wept with him."),
    ("汝殺す勿れ", "You shall not murder anyone at all."),
]


def translation():
    """A task whose batch is its sentences."""
    pieces = Pieces(BytePairTokenizer("\n".join(map("\n".join, SENTENCES)), 270))
    model = create_model(
        "transformer_base",
        vocabulary_size=pieces.size,
        width=32,
        num_layers=1,
        num_heads=2,
        mlp_width=64,
        dropout=0.0,
        max_length=50,
    )
    task = Translation(
        model=model,
        optimizer=optax.adam(1e-2),
        source=pieces,
        target=pieces,
        max_length=50,
        width=2,
        label_smoothing=0.0,
        ema=0.5,
        sentences=SENTENCES,
    )
    source, target = ([pieces.encode(text) for text in texts] for texts in zip(*SENTENCES))
    lengths = {
        "source_length": jnp.array([len(ids) for ids in source]),
        "target_length": jnp.array([len(ids) for ids in target]),
    }
    pad = lambda rows: jnp.array([np.pad(ids, (0, 50 - len(ids))) for ids in rows])
    batch = {"source": pad(source), "target": pad(target), "mask": jnp.ones(3)}
    return task, {**batch, **lengths, "row": jnp.arange(3, dtype=jnp.int32)}


@pytest.mark.slow
def test_sentences_learned_by_heart_have_a_bleu_of_100():
    task, batch = translation()
    state = jax.jit(task.init)(jax.random.key(0), batch)
    before = task.texts(state, jax.random.key(0))["translations"]
    step = jax.jit(task.train_step)
    for i in range(120):
        state, _ = step(state, batch, jax.random.key(i))
    sources, references = zip(*SENTENCES)
    assert task.translate(state, sources, rows=2) == list(references)
    after = task.texts(state, jax.random.key(0))["translations"]
    assert after.startswith("BLEU = 100.00")
    assert "tok:13a" in after.splitlines()[1]
    assert after.count("  people: ") == after.count("  model:  ") == 3
    assert not before.startswith("BLEU = 100.00")
    assert task.translate(state, sources[:1]) == [references[0]]  # whatever stands beside it


def test_an_empty_text_is_refused():
    task, batch = translation()
    state = jax.eval_shape(task.init, jax.random.key(0), batch)
    with pytest.raises(UserError, match="nothing to translate in an empty text"):
        task.translate(state, ["光", ""])
