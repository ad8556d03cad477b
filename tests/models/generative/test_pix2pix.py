import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

SMALL = {"num_downs": 6, "base_features": 2, "channels": 1}


def build(**overrides):
    model = jdl.create_model("pix2pix_generator", **(SMALL | overrides))
    images = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3), minval=-1, maxval=1)
    return model, images, jax.jit(model.init)(jax.random.key(0), images)


def count(name, channels, size, **overrides):
    model = jdl.create_model(name, **overrides)
    images = jnp.zeros((1, size, size, channels))
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_counts():
    assert count("pix2pix_generator", 3, 256) == 54_413_955
    assert count("pix2pix_generator", 3, 128, num_downs=7) == 41_828_995
    assert count("patchgan", 6, 256) == 2_768_705


def test_dropout_makes_it_random_and_is_in_three_levels_at_most():
    model, images, variables = build(num_downs=6)
    apply = jax.jit(
        lambda key: model.apply(
            variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )[0]
    )
    one, again, other = (apply(jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert float(jnp.abs(one - other).max()) > 0
    # With five halvings there is no level between the fifth and the bottleneck.
    model, images, variables = build(num_downs=5)
    model.apply(variables, images, train=True, mutable=["batch_stats"])


def test_what_is_drawn_lies_between_minus_one_and_one():
    model, images, variables = build()
    drawn = jax.jit(model.apply)(variables, 100 * images)
    assert drawn.shape == (1, 64, 64, 1)
    assert float(jnp.abs(drawn).max()) <= 1


def test_a_patch_is_70_pixels():
    """By gradient: one logit in the middle sees 70 rows and 70 columns."""
    model = jdl.create_model("patchgan", base_features=4)
    images = jax.random.normal(jax.random.key(0), (1, 128, 128, 6))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    gradient = jax.jit(jax.grad(lambda x: model.apply(variables, x)[0, 7, 7]))(images)
    seen = np.asarray(jnp.abs(gradient[0]).sum(-1))
    assert (seen.any(0).sum(), seen.any(1).sum()) == (70, 70)


def test_sizes_that_cannot_be_halved_are_refused():
    model, images, variables = build()
    with pytest.raises(UserError, match="halves its images 6 times, which 48x64 pixels"):
        model.apply(variables, images[:, :48])
