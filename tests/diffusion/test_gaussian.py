import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.diffusion.gaussian import diffuse, target, to_image, to_noise

numbers = st.floats(-3, 3, width=32)


@given(
    numbers,
    numbers,
    st.floats(1 / 64, 63 / 64, width=32),
    st.sampled_from(["noise", "image", "velocity"]),
)
def test_every_prediction_gives_back_image_and_noise(image, noise, alpha_bar, prediction):
    x, e, a = (jnp.full((1,), v, jnp.float32) for v in (image, noise, alpha_bar))
    noisy = diffuse(x, e, a)
    found = to_image(target(x, e, a, prediction), noisy, a, prediction)
    np.testing.assert_allclose(found, x, atol=1e-4)
    np.testing.assert_allclose(to_noise(found, noisy, a), e, atol=1e-3)


def test_the_jump_equals_the_walk():
    """Equation 4 of Ho et al. against a simulation of their equation 2, step by step."""
    betas = np.linspace(0.01, 0.2, 20, dtype=np.float32)
    alpha_bar = np.cumprod(1 - betas)
    x = jnp.full((200_000,), 0.7, jnp.float32)
    for key, beta in zip(jax.random.split(jax.random.key(0), 20), betas):
        x = jnp.sqrt(1 - beta) * x + jnp.sqrt(beta) * jax.random.normal(key, x.shape)
    assert float(x.mean()) == pytest.approx(0.7 * alpha_bar[-1] ** 0.5, abs=0.01)
    assert float(x.var()) == pytest.approx(1 - alpha_bar[-1], rel=0.02)
