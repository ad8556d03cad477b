"""Captioning: what it learns of a few pictures, and what it says of its sentences."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data.vocabulary import Vocabulary
from jdl.tasks.captioning import Captioning
from jdl.train.metrics import compute

SENTENCES = ("a red one", "a blue two above a red one", "a red two")
PICTURES = np.random.RandomState(0).randint(0, 256, (3, 64, 64, 3)).astype(np.uint8)
WORDS = Vocabulary(" ".join(SENTENCES).split())


def batch():
    targets = [WORDS.encode(sentence.split()) for sentence in SENTENCES]
    return {
        "source": jnp.asarray(PICTURES),
        "source_length": jnp.full(3, 64),
        "target": jnp.asarray([np.pad(target, (0, 8 - len(target))) for target in targets]),
        "target_length": jnp.asarray([len(target) for target in targets]),
        "mask": jnp.ones(3),
        "row": jnp.arange(3, dtype=jnp.int32),
    }


@pytest.mark.slow
def test_a_few_pictures_are_learned():
    sacrebleu = pytest.importorskip("sacrebleu")
    model = create_model(
        "captioner_attention",
        vocabulary_size=WORDS.size,
        embedding_size=16,
        hidden_size=32,
        features=(8, 8, 8, 8),
    )
    seen = []

    def augment(key, picture):
        seen.append(picture.shape)
        return picture

    others = (*SENTENCES[:2], "a green three")
    task = Captioning(
        model,
        optax.adam(1e-2),
        WORDS,
        WORDS,
        max_length=9,
        label_smoothing=0.0,
        ema=0.9,
        width=2,
        augment=augment,
        pictures=PICTURES,
        sentences=others,
    )
    state = task.init(jax.random.key(0), batch())
    assert not seen
    step = jax.jit(task.train_step)
    for i in range(60):
        state, _ = step(state, batch(), jax.random.key(i))
    assert seen == [(64, 64, 3)]
    values = compute(jax.jit(task.test_step)(state, batch(), jax.random.key(0)))
    assert values["sequence_error"] == values["token_error"] == 0
    assert len(seen) == 1  # only training is augmented
    for search in ("greedy", "beam"):
        assert task.describe(state, PICTURES, search, rows=2) == list(SENTENCES)
    text = task.texts(state, jax.random.key(0))["sentences"]
    score = sacrebleu.corpus_bleu(SENTENCES, [others]).score
    assert f"greedy: 66.7% exactly right, BLEU = {score:.2f}" in text
    assert f"beam: 66.7% exactly right, BLEU = {score:.2f}" in text
    assert "people: a green three\nmodel:  a red two" in text
    assert set(task.figures(state, batch(), jax.random.key(0))) == {"captions", "attention"}
