"""Networks that write together, beside each of them alone."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.tasks.transduction_ensemble import Together, TransductionEnsemble

from .test_transduction import load, make_task

MEMBERS = 3


def make_tasks(backward):
    """One network, and several of them."""
    alone = make_task(backward)
    alone = dataclasses.replace(alone, model=alone.model.clone(hidden_size=8, dropout=0.5))
    options = {field.name: getattr(alone, field.name) for field in dataclasses.fields(alone)}
    return alone, TransductionEnsemble(**options, members=MEMBERS)


@pytest.fixture(scope="module")
def batches():
    random = np.random.default_rng(0)
    return load(["".join(random.choice(list("abcd"), random.integers(1, 6))) for _ in range(128)])


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
    alone, together = make_tasks(backward)
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


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("longest", [2, 5])
def test_they_write_by_the_mean_of_their_probabilities(batches, backward, longest):
    """All at once and step by step, against each network asked alone."""
    _, task = make_tasks(backward)
    state, _ = trained(task, batches)
    random, together = np.random.default_rng(longest), Together(task.model)
    source, *inputs = jnp.asarray(random.integers(1, 5, (2 + backward, 2, longest)))
    source = source, jnp.array([longest, 1])
    each = [partial(task.model.apply, of_member(m, state.average)) for m in range(MEMBERS)]
    found = together.apply(state.average, *source, *inputs)
    for way, logits in enumerate(found if backward else [found]):
        p = [apply(*source, *inputs) for apply in each]
        p = [jax.nn.softmax(one[way] if backward else one) for one in p]
        assert float(jnp.abs(p[0] - p[1]).max()) > 0.01
        np.testing.assert_allclose(jnp.exp(logits), sum(p) / MEMBERS, rtol=1e-4)

    remembered = together.apply(state.average, *source, method="encode")
    carry = together.apply(state.average, remembered, method="initial_carry")
    for leaf in jax.tree.leaves((remembered, carry)):
        assert leaf.shape[:2] == (2, MEMBERS)  # rows first, for searches
    memories = [apply(*source, method="encode") for apply in each]
    carries = [apply(m, method="initial_carry") for apply, m in zip(each, memories)]
    for last in inputs[0].T:
        logits, carry, attention = together.apply(
            state.average, remembered, carry, last, method="step"
        )
        steps = [apply(*it, last, method="step") for *it, apply in zip(memories, carries, each)]
        alone, carries, weights = zip(*steps)
        p = sum(map(jax.nn.softmax, alone)) / MEMBERS
        np.testing.assert_allclose(jnp.exp(logits), p, rtol=1e-4)
        np.testing.assert_allclose(attention, sum(weights) / MEMBERS, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("backward", [False, True])
def test_networks_that_agree_write_what_one_of_them_does(batches, backward):
    alone, together = make_tasks(backward)
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
