"""BERT's pretraining against its equations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data.sentence_pairs import sentence_pairs, train_wordpiece
from jdl.tasks.masked_language_model import MaskedLanguageModel
from jdl.train.metrics import compute

TOKENIZER = train_wordpiece(["a b c d e f g h i j k l m"] * 3, 31)


class Given(nn.Module):
    """Answers with its parameters, whatever it is asked."""

    words: tuple
    pairs: tuple

    @nn.compact
    def __call__(self, tokens, mask=None, token_types=None, positions=None, *, train: bool = False):
        words = self.param("words", lambda _: jnp.array(self.words))
        pairs = self.param("pairs", lambda _: jnp.array(self.pairs))
        batch = len(tokens)
        count = tokens.shape[1] if positions is None else positions.shape[1]
        return (
            jnp.broadcast_to(words, (batch, count, len(self.words))),
            jnp.broadcast_to(pairs, (batch, 2)),
        )


@pytest.fixture(scope="module")
def batch():
    documents = [
        [[5 + (5 * d + 2 * i + k) % 26 for k in range(5 + i)] for i in range(4)] for d in range(3)
    ]
    pairs = sentence_pairs(documents, 24)
    count = len(pairs["tokens"])
    mask = jnp.ones(count).at[-2:].set(0)
    return {**map_arrays(pairs), "mask": mask, "row": jnp.arange(count, dtype=jnp.int32)}


def map_arrays(arrays):
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def test_losses_and_accuracies_follow_their_equations(batch):
    size = TOKENIZER.get_vocab_size()
    logits, pair_logits = np.linspace(-1, 1, size), np.array([0.3, -0.4])
    table = np.arange(size, dtype=np.int32)
    table[5:30] = np.arange(6, 31)  # most words are followed by the next one
    table[4] = 11
    task = MaskedLanguageModel(
        Given(tuple(logits.tolist()), tuple(pair_logits.tolist())),
        optax.sgd(0.0),
        TOKENIZER,
        guesses=3,
        most_frequent_next=table,
    )
    key = jax.random.key(3)
    state = task.init(key, batch)
    found = compute(jax.jit(task.eval_step)(state, batch, key))

    masked = jax.device_get(task.mask(batch, key))
    real = np.asarray(batch["mask"]) > 0
    labels = np.asarray(batch["label"])
    word_losses = np.log(np.exp(logits).sum()) - logits[masked.targets]
    pair_losses = np.log(np.exp(pair_logits).sum()) - pair_logits[labels]
    chosen = (masked.weights > 0) & real[:, None]
    texts = [
        word_losses[i][masked.weights[i] > 0].mean() + pair_losses[i] for i in range(len(real))
    ]
    before = np.take_along_axis(masked.tokens, masked.positions - 1, 1)
    expected = {
        "loss": np.array(texts)[real].mean(),
        "word_loss": word_losses[chosen].mean(),
        "word_accuracy": (masked.targets == size - 1)[chosen].mean(),
        "unigram_accuracy": (masked.targets == 11)[chosen].mean(),
        "bigram_accuracy": (masked.targets == table[before])[chosen].mean(),
        "pair_accuracy": (labels == 0)[real].mean(),
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert expected["bigram_accuracy"] > 0.3


def test_special_tokens_are_never_hidden(batch):
    task = MaskedLanguageModel(
        Given((0.0,), (0.0, 0.0)), optax.sgd(0.0), TOKENIZER, 24, np.zeros(31, np.int32)
    )
    masked = task.mask(batch, jax.random.key(0))
    assert (np.asarray(masked.targets)[np.asarray(masked.weights) > 0] > 4).all()
    assert np.asarray(masked.weights).sum(1).min() >= 1


@pytest.mark.slow
def test_a_small_bert_learns_a_handful_of_texts(batch):
    size = TOKENIZER.get_vocab_size()
    model = create_model(
        "bert_base_pretraining",
        vocabulary_size=size,
        max_length=24,
        width=32,
        num_layers=1,
        num_heads=2,
        dropout=0.0,
    )
    task = MaskedLanguageModel(model, optax.adam(3e-3), TOKENIZER, 3, np.zeros(size, np.int32))
    state = task.init(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    for i in range(100):
        state, metrics = step(state, batch, jax.random.key(i))
    values = compute(metrics)
    # At first log 31 = 3.4.
    assert values["word_loss"] < 2.5
    assert values["pair_accuracy"] == 1.0
    assert set(task.figures(state, batch, jax.random.key(0))) == {"hidden_words", "attention"}
