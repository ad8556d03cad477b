import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jdl.ops.adversarial import discriminator_loss, generator_loss

logits = st.floats(-30, 30, width=32)


@given(logits, logits)
def test_losses_are_logarithms_of_probabilities(real, fake):
    d = lambda logit: 1 / (1 + np.exp(-np.float64(logit)))
    expected = -np.log(d(real)) - np.log(d(-fake))
    found = discriminator_loss(jnp.float32(real), jnp.float32(fake))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    found = generator_loss(jnp.float32(fake), "minimax")
    np.testing.assert_allclose(found, np.log(d(-fake)), rtol=1e-5, atol=1e-6)
    found = generator_loss(jnp.float32(fake))
    np.testing.assert_allclose(found, -np.log(d(fake)), rtol=1e-5, atol=1e-6)


@given(logits)
def test_only_the_minimax_gradient_vanishes_where_the_discriminator_is_sure(fake):
    d = 1 / (1 + np.exp(-np.float64(fake)))
    slope = lambda kind: jax.grad(lambda x: generator_loss(x, kind))(jnp.float32(fake))
    np.testing.assert_allclose(slope("minimax"), -d, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(slope("non-saturating"), d - 1, rtol=1e-4, atol=1e-6)
