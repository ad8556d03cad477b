"""The lectures' updates, written out in W and V, beside optax's chains."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from jdl.optim.accelerated import all_together, nesterov

START = np.array([3.0, -2.0])
CURVATURE = np.array([1.0, 12.0])
RATE, MOMENTUM = 0.03, 0.8


def gradient(w):
    """Of a ravine."""
    return CURVATURE * w


def iterates(optimizer, steps, given=gradient):
    """The parameters of an optax optimiser, step by step."""
    params = jnp.array(START, jnp.float32)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(
            jnp.asarray(given(np.asarray(params, np.float64)), jnp.float32), state, params
        )
        params = optax.apply_updates(params, updates)
        yield np.asarray(params)


def test_gradient_descent_and_momentum_are_the_lectures():
    w = v = START
    v = np.zeros(2)
    for found in iterates(optax.sgd(RATE, MOMENTUM), 12):
        v = RATE * gradient(w) + MOMENTUM * v
        w = w - v
        np.testing.assert_allclose(found, w, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decays", [False, True])
def test_nesterov_is_the_lectures_step_by_step(decays):
    """In W and V; what optax holds is W − ρ V. Also where the rate changes on the way."""
    rates = [RATE / (1 + step * decays) for step in range(12)]
    schedule = lambda step: RATE / (1 + step * decays)
    w, v = START, np.zeros(2)
    for rate, found in zip(rates, iterates(nesterov(schedule, MOMENTUM), 12), strict=True):
        v = rate * gradient(w - MOMENTUM * v) + MOMENTUM * v
        w = w - v
        np.testing.assert_allclose(found, w - MOMENTUM * v, rtol=1e-4, atol=1e-6)


def test_nesterov_is_optaxs_and_torchs_at_a_constant_rate():
    ours = list(iterates(nesterov(RATE, MOMENTUM), 8))
    theirs = list(iterates(optax.sgd(RATE, MOMENTUM, nesterov=True), 8))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    w = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.SGD([w], RATE, MOMENTUM, nesterov=True)
    for found in ours:
        w.grad = torch.tensor(gradient(w.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(found, w.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_torchs(name):
    """The two that an experiment takes from optax as they are."""
    ours = {"adam": optax.adam(RATE), "adamw": optax.adamw(RATE, weight_decay=0.3)}[name]
    w = torch.tensor(START, requires_grad=True)
    theirs = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
        [w], RATE, weight_decay=0.3 * (name == "adamw")
    )
    for found in iterates(ours, 10):
        w.grad = torch.tensor(gradient(w.detach().numpy()))
        theirs.step()
        np.testing.assert_allclose(found, w.detach(), rtol=1e-4)


def test_all_together_is_the_lectures_step_by_step():
    decay = 0.2
    optimizer = all_together(RATE, MOMENTUM, weight_decay=decay, noise=0.0)
    w, v, square = START, np.zeros(2), np.zeros(2)
    for step, found in enumerate(iterates(optimizer, 12), 1):
        ahead = w - MOMENTUM * v
        g = gradient(ahead) + decay * ahead
        square = 0.999 * square + 0.001 * g**2
        rates = RATE / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        v = rates * g + MOMENTUM * v
        w = w - v
        np.testing.assert_allclose(found, w - MOMENTUM * v, rtol=1e-3, atol=1e-5)


def test_its_noise_has_the_deviation_that_it_should():
    """σ₀ / (1 + t)^ν, drawn anew at each step."""
    noise = optax.add_noise(0.3**2, 2 * 0.7, key=1)
    zeros = jnp.zeros(40_000)
    state = noise.init(zeros)
    draws = []
    for t in range(4):
        drawn, state = noise.update(zeros, state)
        draws.append(np.asarray(drawn))
        assert drawn.std() == pytest.approx(0.3 / (1 + t) ** 0.7, rel=0.02)
    assert abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03


def test_noise_is_part_of_all_together_and_a_seed_repeats_it():
    def end(**options):
        return list(iterates(all_together(RATE, **options), 5))[-1]

    np.testing.assert_array_equal(end(noise=0.5, seed=1), end(noise=0.5, seed=1))
    assert (end(noise=0.5, seed=1) != end(noise=0.5, seed=2)).any()
    assert (end(noise=0.5) != end(noise=0.0)).any()


def test_l2_and_decoupled_decay_differ_where_rates_adapt():
    """Decoupled decay shrinks by the rate; an ℓ2 penalty is divided away by Adam."""
    none = lambda w: 0 * w
    decoupled = list(iterates(optax.adamw(RATE, weight_decay=0.3), 5, none))[-1]
    np.testing.assert_allclose(decoupled, START * (1 - RATE * 0.3) ** 5, rtol=1e-5)
    chain = optax.chain(optax.add_decayed_weights(0.3), optax.adam(RATE))
    np.testing.assert_allclose(next(iterates(chain, 1, none)), START - RATE * np.sign(START))
    plain = optax.chain(optax.add_decayed_weights(0.3), optax.sgd(RATE))
    np.testing.assert_allclose(
        list(iterates(plain, 5, none))[-1], START * (1 - RATE * 0.3) ** 5, rtol=1e-5
    )
