"""Samplers driven by an exact denoiser, whose answer is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.processes import (
    Discrete,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from jdl.diffusion.reverse import (
    annealed_langevin,
    euler_maruyama,
    predictor_corrector,
    probability_flow,
)
from jdl.diffusion.samplers import ancestral, ddim, ddim_encode
from jdl.diffusion.schedules import cosine_schedule, linear_schedule
from jdl.errors import UserError

from .known import MIXTURE

COUNT = 4000
LINEAR, COSINE = Discrete(linear_schedule()), Discrete(cosine_schedule())
VP, SUB_VP, VE = VariancePreserving(), SubVariancePreserving(), VarianceExploding(0.01, 10.0)

# Every sampler with every kind of process that it is made for. DDIM with η = 0 and the flow are
# deterministic: the points that they start from are all that is random.
CASES = {
    "ancestral, linear": (ancestral, LINEAR),
    "ancestral, cosine": (ancestral, COSINE),
    "ancestral, large": (partial(ancestral, variance="large"), LINEAR),
    "ancestral, VE": (partial(ancestral, steps=500), VE),
    "ddim, 100": (partial(ddim, steps=100), COSINE),
    "ddim, 100, VP": (partial(ddim, steps=100), VP),
    "ddim, 100, VE": (partial(ddim, steps=100), VE),
    "ddim, eta 1": (partial(ddim, steps=1000, eta=1.0), LINEAR),
    "langevin, VE": (partial(annealed_langevin, levels=30, steps=50), VE),
    "euler-maruyama, VP": (euler_maruyama, VP),
    "euler-maruyama, sub-VP": (euler_maruyama, SUB_VP),
    "euler-maruyama, VE": (euler_maruyama, VE),
    "predictor-corrector, VP": (partial(predictor_corrector, steps=500), VP),
    "predictor-corrector, VE": (partial(predictor_corrector, steps=500), VE),
    "flow, VP": (probability_flow, VP),
    "flow, sub-VP": (probability_flow, SUB_VP),
    "flow, VE": (probability_flow, VE),
}


def sample(sampler, process, denoise=None, count=COUNT, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    denoise = denoise or MIXTURE.denoiser(process)
    draw = jax.jit(lambda keys: sampler(denoise, process, process.prior(keys, (2,)), keys)[0])
    return np.asarray(draw(keys))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_mixture_is_sampled_with_its_moments_and_weights(name):
    x = sample(*CASES[name])
    # Four standard errors of means, variances (heavier than a Gaussian's: none here) and shares.
    deviations = np.sqrt(np.diag(MIXTURE.covariance))
    np.testing.assert_array_less(abs(x.mean(0) - MIXTURE.mean), 4 * deviations / COUNT**0.5)
    np.testing.assert_allclose(np.cov(x.T), MIXTURE.covariance, atol=0.06)
    component = np.asarray(MIXTURE.component(jnp.asarray(x)))
    shares = np.bincount(component, minlength=3) / COUNT
    errors = np.sqrt(MIXTURE.weights * (1 - MIXTURE.weights) / COUNT)
    np.testing.assert_array_less(abs(shares - MIXTURE.weights), 4 * errors)
    for k in range(3):
        mine = x[component == k]
        np.testing.assert_allclose(mine.mean(0), MIXTURE.means[k], atol=0.03)
        np.testing.assert_allclose(np.cov(mine.T), MIXTURE.covariances[k], atol=0.012)


@pytest.mark.parametrize("process", [LINEAR, COSINE, VE], ids=["linear", "cosine", "VE"])
def test_ddim_with_eta_one_is_the_ancestral_sampler(process):
    """Two derivations of one sampler, step for step with the same noise."""
    walked = sample(partial(ancestral, steps=200), process, count=50)
    strided = sample(partial(ddim, steps=200, eta=1.0), process, count=50)
    np.testing.assert_allclose(walked, strided, atol=2e-3)
    large = sample(partial(ancestral, steps=200, variance="large"), process, count=50)
    assert abs(large - strided).max() > 0.02


def test_a_predictor_without_corrections_is_euler_maruyama():
    expected = sample(partial(euler_maruyama, steps=50), VP, count=20)
    corrected = partial(predictor_corrector, steps=50, corrections=0)
    np.testing.assert_array_equal(sample(corrected, VP, count=20), expected)
    assert abs(sample(partial(predictor_corrector, steps=50), VP, count=20) - expected).max() > 0.05


@pytest.mark.parametrize("sampler", [ancestral, partial(ddim, eta=1.0), predictor_corrector])
def test_a_sample_does_not_depend_on_its_neighbours(sampler):
    def denoise(noisy, t):
        return 0.5 * noisy

    keys = jax.random.split(jax.random.key(0), 6)
    start = VP.prior(keys, (2, 2))
    together, _ = sampler(denoise, VP, start, keys, steps=7)
    alone, _ = sampler(denoise, VP, start[3:4], keys[3:4], steps=7)
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-5)


@pytest.mark.parametrize("sampler", [ancestral, ddim, euler_maruyama, probability_flow])
def test_the_loop_is_compiled_once_whatever_its_length(sampler):
    calls = []

    def denoise(noisy, t):
        calls.append(t.shape)
        return jnp.zeros_like(noisy)

    keys = jax.random.split(jax.random.key(0), 3)
    start = VP.prior(keys, (2,))
    for steps in (5, 50):
        calls.clear()
        images, guesses = sampler(denoise, VP, start, keys, steps=steps)
        assert (images == 0).all()
        assert guesses.shape == (steps, 3, 2)
        assert len(calls) < 5, "the loop was unrolled"
        assert set(calls) == {(3,)}


def test_without_eta_only_the_start_is_random():
    keys = jax.random.split(jax.random.key(0), 4)
    start, denoise = COSINE.prior(keys, (2,)), MIXTURE.denoiser(COSINE)
    images = [ddim(denoise, COSINE, start, k, steps=20)[0] for k in (keys, keys[::-1])]
    np.testing.assert_array_equal(*images)
    images = [ddim(denoise, COSINE, start, k, 20, eta=0.5)[0] for k in (keys, keys[::-1])]
    assert abs(images[0] - images[1]).min() > 1e-4


@pytest.mark.parametrize("process", [COSINE, VP], ids=["cosine", "VP"])
def test_what_is_encoded_comes_back(process):
    keys = jax.random.split(jax.random.key(0), 20)
    x, denoise = MIXTURE.sample(keys), MIXTURE.denoiser(process)
    codes = ddim_encode(denoise, process, x, steps=1000)
    np.testing.assert_allclose(ddim(denoise, process, codes, keys, steps=1000)[0], x, atol=0.02)
    assert 0.5 < float(codes.std()) < 1.5


def test_more_steps_than_the_schedule_has_are_refused():
    keys = jax.random.split(jax.random.key(0), 2)
    for sampler in (ancestral, ddim):
        with pytest.raises(UserError, match="1001 steps cannot follow a schedule of 1000"):
            sampler(MIXTURE.denoiser(COSINE), COSINE, jnp.zeros((2, 2)), keys, steps=1001)
