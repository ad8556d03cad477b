from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.denoisers import denoiser, guided, inpainting, score_of
from jdl.diffusion.gaussian import target
from jdl.diffusion.mixture import Mixture
from jdl.diffusion.processes import Discrete, VarianceExploding, VariancePreserving
from jdl.diffusion.reverse import euler_maruyama, probability_flow
from jdl.diffusion.samplers import ancestral
from jdl.diffusion.schedules import cosine_schedule
from jdl.errors import UserError

from .known import MIXTURE

PROCESSES = [Discrete(cosine_schedule(100)), VariancePreserving(), VarianceExploding()]


@pytest.mark.parametrize("prediction", ["noise", "image", "velocity", "score"])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_network_may_predict_any_of_the_four(process, prediction):
    """Networks that answer with what the exact denoiser implies are that denoiser."""
    exact, x = MIXTURE.denoiser(process), jnp.array([[0.4, -0.3], [1.0, 2.0]])
    t = jnp.full(2, process.times(3)[1])
    scales = process.scales(t).over(x)
    noise = (x - scales.signal * exact(x, t)) / scales.noise
    answer = target(exact(x, t), noise, scales, prediction)

    def network(noisy, timesteps):
        np.testing.assert_array_equal(timesteps, process.timesteps(t))
        return answer

    found = denoiser(network, process, prediction)(x, t)
    np.testing.assert_allclose(found, exact(x, t), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        score_of(exact, process)(x, t), MIXTURE.score(x, process.scales(t)), rtol=1e-2, atol=1e-3
    )


def test_guidance_samples_the_density_that_it_promises():
    """Gaussians of one variance: p(x|c)^(1+w) p(x)^(−w) at every t is one with its mean moved."""
    process = VariancePreserving()

    def gaussian(mean):
        return Mixture(np.ones(1), np.array([[mean]]), np.full((1, 1, 1), 0.04)).denoiser(process)

    lead = guided(gaussian(0.5), gaussian(0.2), 2.0)
    keys = jax.random.split(jax.random.key(0), 2000)
    x, _ = jax.jit(partial(probability_flow, lead, process))(process.prior(keys, (1,)))
    assert float(x.mean()) == pytest.approx(0.5 + 2 * 0.3, abs=0.02)
    assert float(x.var()) == pytest.approx(0.04, rel=0.1)
    plain = gaussian(0.5)
    assert guided(plain, gaussian(0.2), 0.0) is plain


@pytest.mark.parametrize("sampler", [ancestral, euler_maruyama])
def test_what_is_known_stays_and_the_rest_agrees_with_it(sampler):
    """Two modes: the known first number says in which one the second is to be drawn."""
    process = VariancePreserving()
    means, covariances = np.array([[1.0, 1.0], [-1.0, -0.5]]), 0.03 * np.stack([np.eye(2)] * 2)
    modes = Mixture(np.full(2, 0.5), means, covariances)
    known = jnp.broadcast_to(jnp.array([[1.1, 0.0]]), (500, 2))
    mask = jnp.broadcast_to(jnp.array([[1, 0]]), (500, 2))
    denoise = inpainting(modes.denoiser(process), known, mask)
    keys = jax.random.split(jax.random.key(0), 500)
    x, _ = jax.jit(partial(sampler, denoise, process, steps=300))(process.prior(keys, (2,)), keys)
    np.testing.assert_array_equal(x[:, 0], np.float32(1.1))
    # A few begin in the other mode and do not come back: replacement is approximate.
    assert float((x[:, 1] > 0.3).mean()) > 0.85
    rest = x[:, 1][x[:, 1] > 0.3]
    assert float(rest.mean()) == pytest.approx(1.0, abs=0.05)
    assert float(rest.std()) == pytest.approx(0.03**0.5, rel=0.15)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(UserError, match="mask has the shape 2×4×4, the images to fill have 2×4×4×"):
        inpainting(lambda x, t: x, jnp.zeros((2, 4, 4, 1)), jnp.ones((2, 4, 4)))
