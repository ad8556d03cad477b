import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.generative.vae import sample_latents

TINY = {"latent_size": 3, "features": (2, 4), "hidden_size": 8, "image_shape": (8, 12, 2)}


def test_call_is_encode_sample_decode():
    model = jdl.create_model("vae", **TINY)
    images = jax.random.uniform(jax.random.key(1), (5, 8, 12, 2))
    keys = jax.random.split(jax.random.key(2), 5)
    (logits, mean, log_variance), variables = jax.jit(model.init_with_output)(
        jax.random.key(0), images, keys
    )
    apply = jax.jit(model.apply, static_argnames="method")
    again = apply(variables, images, method="encode")
    np.testing.assert_array_equal(mean, again[0])
    np.testing.assert_array_equal(log_variance, again[1])
    latents = sample_latents(keys, mean, log_variance)
    decoded = apply(variables, latents, method="decode")
    np.testing.assert_allclose(logits, decoded, atol=1e-6)
    assert logits.shape == images.shape


def test_a_gaussian_decoder_gives_two_numbers_a_pixel():
    images, key = jnp.zeros((2, 28, 28, 1)), jax.random.key(0)
    count = {}
    for likelihood, channels in (("bernoulli", 1), ("gaussian", 2)):
        model = jdl.create_model("vae", likelihood=likelihood)
        init = lambda model=model: model.init_with_output(key, images, key)
        (outputs, *_), variables = jax.eval_shape(init)
        assert outputs.shape == (2, 28, 28, channels)
        count[likelihood] = sum(leaf.size for leaf in jax.tree.leaves(variables))
    # One more feature of a 4×4 kernel on 32 channels, and its bias.
    assert count == {"bernoulli": 1_691_369, "gaussian": 1_691_369 + 4 * 4 * 32 + 1}


def test_samples_have_the_posteriors_moments_and_their_own_keys():
    mean, log_variance = jnp.full((1, 4000), 2.0), jnp.full((1, 4000), jnp.log(9.0))
    draws = sample_latents(jax.random.key(0), mean, log_variance)
    assert float(draws.mean()) == pytest.approx(2, abs=0.2)
    assert float(draws.std()) == pytest.approx(3, rel=0.05)
    keys = jax.random.split(jax.random.key(0), 4)
    each = sample_latents(keys, jnp.zeros((4, 3)), jnp.zeros((4, 3)))
    np.testing.assert_array_equal(each[2:], sample_latents(keys[2:], each[2:] * 0, each[2:] * 0))


def test_another_shape_is_refused():
    with pytest.raises(UserError, match=r"\(28, 28, 1\), not \(28, 28, 3\)"):
        jdl.create_model("vae").init(
            jax.random.key(0), jnp.zeros((1, 28, 28, 3)), jax.random.key(1)
        )
    with pytest.raises(UserError, match="divisible by 4, not 30x28"):
        jdl.create_model("vae", image_shape=(30, 28, 1)).init(
            jax.random.key(0), jnp.zeros((1, 30, 28, 1)), jax.random.key(1)
        )
