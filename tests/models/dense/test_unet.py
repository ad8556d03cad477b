import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.dense.unet import output_size

TINY = {"features": (2, 3, 4)}


def shape_of(model, *shape):
    images = jnp.zeros(shape)
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape


def test_the_papers_sizes():
    assert shape_of(jdl.create_model("unet"), 1, 572, 572, 1) == (1, 388, 388, 2)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_output_size_foretells_the_network(padding):
    model = jdl.create_model("unet", padding=padding, **TINY)
    fits = [n for n in range(1, 80) if output_size(n, 2, padding)]
    assert fits
    for size in fits:
        expected = output_size(size, 2, padding)
        assert shape_of(model, 1, size, fits[-1], 1)[1] == expected
    for size in set(range(1, 80)) - set(fits):
        with pytest.raises(UserError):
            shape_of(model, 1, size, fits[-1], 1)


def test_error_names_the_nearest_sizes():
    with pytest.raises(UserError, match="100 pixels; the nearest sizes are 96 and 112"):
        shape_of(jdl.create_model("unet_same"), 1, 112, 100, 1)
    with pytest.raises(UserError, match="does not fit 20 pixels; the nearest size is 188"):
        shape_of(jdl.create_model("unet"), 1, 20, 20, 1)


def test_logits_stand_over_the_middle_of_the_image():
    model = jdl.create_model("unet", dropout=0.0, num_classes=1, **TINY)
    images = np.ones((1, 60, 60, 1), np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    positive = jax.tree.map(jnp.abs, variables)  # so that no gradient cancels or is cut off

    def middle(images):
        logits = model.apply(positive, images)[0, :, :, 0]
        return logits[10, 10]

    seen = np.nonzero(np.asarray(jax.jit(jax.grad(middle))(images))[0, :, :, 0].sum(0))[0]
    border = (60 - 20) // 2
    assert abs((seen[0] + seen[-1]) / 2 - (border + 10)) <= 2


def test_initialised_as_he_et_al():
    model = jdl.create_model("unet", features=(32, 64))
    parameters = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    for name, inputs in [("down.1.conv2", 9 * 64), ("up.0.conv1", 9 * 64), ("up.0.upconv", 64)]:
        deviation = float(parameters[name]["kernel"].std())
        assert deviation == pytest.approx((2 / inputs) ** 0.5, rel=0.05)


def test_dropout_only_in_training():
    model = jdl.create_model("unet_same", **TINY)
    images = jax.random.normal(jax.random.key(1), (1, 16, 16, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)

    @jax.jit
    def apply(seed):
        return model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})

    assert not jnp.allclose(apply(0), apply(1))
    jax.eval_shape(model.apply, variables, images)  # asks for no key
