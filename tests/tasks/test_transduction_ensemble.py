"""Networks that write together, beside each of them alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.sequences import BucketLoader
from jdl.data.vocabulary import Vocabulary
from jdl.models.sequence.seq2seq import seq2seq
from jdl.tasks.transduction import Transduction
from jdl.tasks.transduction_ensemble import Together, TransductionEnsemble

LETTERS = Vocabulary("abcd")
MEMBERS = 3


def make_tasks(**options):
    """One network, and several of them."""
    model = seq2seq(
        source_vocabulary=LETTERS.size,
        target_vocabulary=LETTERS.size,
        embedding_size=4,
        hidden_size=8,
        num_layers=1,
        bidirectional=True,
        reverse_source=False,
        attention=True,
        dropout=0.5,
        **options,
    )
    common = (model, optax.adam(1e-1), LETTERS, LETTERS)
    return (
        Transduction(*common, max_length=6),
        TransductionEnsemble(*common, max_length=6, members=MEMBERS),
    )


@pytest.fixture(scope="module")
def batches():
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcd"), random.integers(1, 6))) for _ in range(32)]
    sequences = {"source": [LETTERS.encode(w) for w in words]}
    sequences["target"] = [LETTERS.encode(w[::-1]) for w in words]
    return BucketLoader(sequences, 16, boundaries=(5,))


def of_member(m, tree):
    return jax.tree.map(lambda leaf: leaf[m], tree)


def trained(task, loader):
    state = jax.jit(task.init)(jax.random.key(0), jax.device_put(loader.batch(0)))
    step = jax.jit(task.train_step)
    for n in range(3):
        state, metrics = step(state, jax.device_put(loader.batch(n)), jax.random.key(n))
    return state, metrics


@pytest.mark.parametrize("backward", [False, True])
def test_each_network_learns_as_if_it_were_alone(batches, backward):
    alone, together = make_tasks(backward=backward)
    state, metrics = trained(together, batches)

    def draw(key, member):
        return jax.random.split(key, MEMBERS)[member]

    losses = []
    for member in range(MEMBERS):
        one = jax.jit(alone.init)(draw(jax.random.key(0), member), jax.device_put(batches.batch(0)))
        for n in range(3):
            batch = jax.device_put(batches.batch(n))
            one, metric = jax.jit(alone.train_step)(one, batch, draw(jax.random.key(n), member))
        found = of_member(member, state)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, one)
        losses.append(float(metric["loss"].total / metric["loss"].count))
    assert len(set(losses)) == MEMBERS
    loss = float(metrics["loss"].total / metrics["loss"].count)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)


def test_they_write_by_the_mean_of_their_probabilities(batches):
    """All at once and step by step, against each network asked alone."""
    _, task = make_tasks()
    state, _ = trained(task, batches)
    source, length = jnp.array([[1, 2, 3, 0], [4, 1, 0, 0]]), jnp.array([3, 2])
    inputs = jnp.array([[0, 3, 2], [0, 1, 4]])
    each = [of_member(m, state.average) for m in range(MEMBERS)]
    p = [jax.nn.softmax(task.model.apply(one, source, length, inputs)) for one in each]
    wanted = sum(p) / MEMBERS
    assert float(jnp.abs(p[0] - wanted).max()) > 0.01
    together = Together(task.model)
    found = together.apply(state.average, source, length, inputs)
    np.testing.assert_allclose(jnp.exp(found), wanted, rtol=1e-4)

    memory = together.apply(state.average, source, length, method="encode")
    carry = together.apply(state.average, memory, method="initial_carry")
    for leaf in jax.tree.leaves((memory, carry)):
        assert leaf.shape[:2] == (2, MEMBERS)  # rows first, for searches
    for t in range(3):
        logits, carry, attention = together.apply(
            state.average, memory, carry, inputs[:, t], method="step"
        )
        np.testing.assert_allclose(jnp.exp(logits), wanted[:, t], rtol=1e-4)
        np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("backward", [False, True])
def test_networks_that_agree_write_what_one_of_them_does(batches, backward):
    alone, together = make_tasks(backward=backward)
    one, _ = trained(alone, batches)
    state = jax.tree.map(lambda leaf: jnp.stack([leaf] * MEMBERS), one)
    for (words, p), (others, q) in zip(
        (zip(*found) for found in alone.transduce(one, ["abcd", "dd"])),
        (zip(*found) for found in together.transduce(state, ["abcd", "dd"])),
    ):
        assert words == others
        np.testing.assert_allclose(p, q, rtol=1e-4)
    batch = jax.device_put(batches.batch(0))
    for of_one, of_all in (
        (alone.eval_step, together.eval_step),
        (alone.test_step, together.test_step),
    ):
        expected = jax.jit(of_one)(one, batch, jax.random.key(0))
        found = jax.jit(of_all)(state, batch, jax.random.key(0))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), found, expected)
    assert together.figures(state, batch, jax.random.key(0)).keys() == {"alignments"}
