"""Likelihoods by the flow of an exact score, against the density itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.likelihood import log_density
from jdl.diffusion.processes import SubVariancePreserving, VarianceExploding, VariancePreserving
from jdl.ops.convolution import conv_general_dilated
from jdl.ops.lowering import plain_lowerings

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


def test_a_networks_fast_convolutions_give_what_plain_ones_do():
    process = VariancePreserving()
    kernel = 0.1 * jax.random.normal(jax.random.key(0), (3, 3, 1, 4))
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 4))
    keys = jax.random.split(jax.random.key(2), 2)

    def denoise(noisy, t):
        return jnp.tanh(conv_general_dilated(noisy, kernel, (1, 1), "SAME", feature_group_count=4))

    def measure(images):
        return log_density(denoise, process, images, keys, tolerance=1e-2)

    assert "custom_vjp" in str(jax.make_jaxpr(denoise)(images, None))  # else both are plain
    fast = jax.jit(measure)(images)
    with plain_lowerings():
        plain = jax.jit(lambda images: measure(images))(images)
    np.testing.assert_allclose(fast, plain, rtol=1e-4)
