import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.diffusion.gaussian import Scales, diffuse, target, to_image, to_noise, to_score

numbers = st.floats(-3, 3, width=32)
PREDICTIONS = ["noise", "image", "velocity", "score"]


@given(
    numbers,
    numbers,
    st.floats(1 / 64, 1, width=32),
    st.floats(1 / 64, 4, width=32),
    st.sampled_from(PREDICTIONS),
)
def test_every_prediction_gives_back_image_and_noise(image, noise, signal, spread, prediction):
    x, e, a, s = (jnp.full((1,), v, jnp.float32) for v in (image, noise, signal, spread))
    scales = Scales(a, s)
    noisy = diffuse(x, e, scales)
    found = to_image(target(x, e, scales, prediction), noisy, scales, prediction)
    # What rounding xₜ loses of x₀ is divided by a.
    np.testing.assert_allclose(found, x, atol=1e-5 * (1 + spread) / signal)
    np.testing.assert_allclose(to_noise(x, noisy, scales), e, atol=1e-5 * (1 + signal) / spread)
    expected = target(x, e, scales, "score")
    np.testing.assert_allclose(
        to_score(x, noisy, scales), expected, atol=1e-5 * (1 + signal) / spread**2
    )


def test_the_jump_equals_the_walk():
    """Equation 4 of Ho et al. against a simulation of their equation 2, step by step."""
    betas = np.linspace(0.01, 0.2, 20, dtype=np.float32)
    alpha_bar = np.cumprod(1 - betas)
    x = jnp.full((200_000,), 0.7, jnp.float32)
    for key, beta in zip(jax.random.split(jax.random.key(0), 20), betas):
        x = jnp.sqrt(1 - beta) * x + jnp.sqrt(beta) * jax.random.normal(key, x.shape)
    assert float(x.mean()) == pytest.approx(0.7 * alpha_bar[-1] ** 0.5, abs=0.01)
    assert float(x.var()) == pytest.approx(1 - alpha_bar[-1], rel=0.02)


def test_scales_go_with_every_number_of_their_image():
    scales = Scales(jnp.array([1.0, 0.5]), jnp.array([0.0, 2.0])).over(jnp.zeros((2, 3, 3, 1)))
    assert scales.signal.shape == scales.noise.shape == (2, 1, 1, 1)
    image, noise = jnp.ones((2, 3, 3, 1)), jnp.full((2, 3, 3, 1), 0.25)
    assert diffuse(image, noise, scales)[:, 1, 2, 0].tolist() == [1.0, 1.0]
