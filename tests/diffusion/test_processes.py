import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.processes import (
    SDE,
    Discrete,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from jdl.diffusion.schedules import cosine_schedule, linear_schedule
from jdl.errors import UserError

PROCESSES = [VariancePreserving(), SubVariancePreserving(), VarianceExploding(0.1, 8.0)]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_marginals_are_those_of_the_simulated_equation(process):
    """dx = f dt + g dw from x₀ = 0.7, in 1,000 steps, against a(t) x₀ and s(t)²."""
    walkers, steps, image = 20_000, 1000, 0.7
    assert isinstance(process, SDE)

    def step(x, i):
        # The middle of the step, where β and σ are those of the whole step to second order.
        t = jnp.full(walkers, (i + 0.5) / steps)
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), i), x.shape)
        g = process.diffusion(t)[:, None]
        x += process.drift(x, t) / steps + g * noise / jnp.sqrt(steps)
        return x, (x.mean(), x.var())

    start = jnp.full((walkers, 1), image)
    _, (means, variances) = jax.jit(lambda x: jax.lax.scan(step, x, jnp.arange(steps)))(start)
    for share in (0.1, 0.3, 0.6, 1.0):
        i = int(share * steps) - 1
        signal, noise = map(float, process.scales(jnp.float32(share)))
        # The paper's VE begins with σ₀ of noise, which the equation does not add.
        begun = float(process.scales(jnp.float32(0.0)).noise)
        assert float(means[i]) == pytest.approx(image * signal, abs=4 * noise / walkers**0.5)
        assert float(variances[i]) == pytest.approx(noise**2 - begun**2, rel=0.04)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_prior_is_what_is_left_at_the_end(process):
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = process.prior(keys, (2,))
    noise = float(process.scales(jnp.float32(1.0)).noise)
    assert float(drawn.std()) == pytest.approx(noise, rel=0.02)
    expected = -0.5 * (np.square(drawn / noise).sum(1)) - 2 * np.log(noise * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(process.prior_log_density(drawn), expected, rtol=1e-3, atol=1e-3)


def test_the_chain_tends_to_the_variance_preserving_equation():
    """βᵢ = β(i/N)/N: with N = 1,000 the paper's 0.1 to 20 is DDPM's schedule, and N grows here."""
    limit, t = VariancePreserving(), jnp.array([0.1, 0.5, 0.9])
    expected = limit.scales(t).signal
    errors = []
    for n in (1000, 10_000):
        chain = Discrete(linear_schedule(n, 0.1 / n, 20 / n))
        found = chain.scales(chain.at(t) - 1).signal
        errors.append(float(abs(found / expected - 1).max()))
    assert errors[0] < 0.04
    assert errors[1] < errors[0] / 8


def test_times_go_from_noise_to_image():
    assert Discrete(cosine_schedule(1000)).times(1000).tolist() == list(range(999, -1, -1))
    for process in PROCESSES:
        times = process.times(7)
        assert times[0] == 1
        assert times[-1] == np.float32(process.stop)
        assert (np.diff(times) < 0).all()


def test_uniform_shares_give_every_step_alike():
    shares = (np.arange(50) + 0.5) / 50
    steps = Discrete(cosine_schedule(10)).at(jnp.asarray(shares, jnp.float32))
    assert np.bincount(steps).tolist() == [5] * 10


def test_more_steps_than_the_schedule_has_are_refused():
    with pytest.raises(UserError, match="51 steps cannot follow a schedule of 50: it takes 1 to"):
        Discrete(cosine_schedule(50)).times(51)
    with pytest.raises(UserError, match="at least 1 step, not 0"):
        VariancePreserving().times(0)
