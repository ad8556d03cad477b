"""Likelihoods by the flow of an exact score, against the density itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.likelihood import bits_per_dimension, dequantize, log_density
from jdl.diffusion.processes import SubVariancePreserving, VarianceExploding, VariancePreserving

from .known import MIXTURE

# At t = 1 the prior forgets what is left of the data: of VE's means, their ratio to σ₁, so that 50
# would be wrong by up to 0.02. It begins with σ₀ of noise, which 0.01 would show in the tails.
PROCESSES = [VariancePreserving(), SubVariancePreserving(), VarianceExploding(0.001, 200.0)]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_the_flow_gives_the_mixtures_density(process):
    x = MIXTURE.sample(jax.random.split(jax.random.key(0), 100))
    measure = jax.jit(lambda x: log_density(MIXTURE.denoiser(process), process, x, tolerance=1e-5))
    np.testing.assert_allclose(measure(x), MIXTURE.log_density(x), rtol=0, atol=1e-2)


def test_the_estimate_of_the_trace_is_right_on_average():
    process, denoise = VariancePreserving(), MIXTURE.denoiser(VariancePreserving())
    x = jnp.broadcast_to(jnp.array([[0.6, 0.4]]), (300, 2))
    keys = jax.random.split(jax.random.key(0), 300)
    estimates = jax.jit(lambda keys: log_density(denoise, process, x, keys))(keys)
    exact = float(MIXTURE.log_density(x[:1])[0])
    assert float(estimates.std()) > 0.05  # it is an estimate
    error = float(estimates.std()) / 300**0.5
    assert float(estimates.mean()) == pytest.approx(exact, abs=4 * error)


def test_images_of_known_density_cost_their_entropy():
    """Uniform noise costs 8 bits; half of the range costs 7, whatever the number of pixels."""
    for size in (1, 784):
        bits = bits_per_dimension(jnp.array([-np.log(2.0) * size, 0.0]), size)
        np.testing.assert_allclose(bits, [8.0, 7.0], rtol=1e-5)


def test_a_normal_density_costs_what_its_quantised_mass_does():
    """8-bit values of a wide normal: the bound is tight where the density is flat over a cell."""
    deviation, random = 0.3, np.random.default_rng(0)
    k = np.clip(np.floor((random.normal(0, deviation, 20_000) + 1) * 128), 0, 255)
    x = dequantize(jnp.asarray(k[:, None], jnp.uint8), jax.random.split(jax.random.key(0), len(k)))[
        :, 0
    ]
    assert ((x >= -1) & (x <= 1)).all()
    log_p = -0.5 * (x / deviation) ** 2 - np.log(deviation * np.sqrt(2 * np.pi))
    entropy = 0.5 * np.log2(2 * np.pi * np.e * deviation**2) + 7  # of the cells of width 2/256
    assert float(bits_per_dimension(log_p, 1).mean()) == pytest.approx(entropy, abs=0.03)
