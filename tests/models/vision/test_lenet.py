import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError


def by_hand(parameters, image, activation, pool):
    """LeNet-5 for one 32-pixel image in plain loops over windows."""

    def convolve(x, layer):
        kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer["bias"])
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(0, 1))
        return np.einsum("hwcuv,uvcf->hwf", windows, kernel) + bias

    def halve(x):
        height, width, channels = x.shape
        return pool(x.reshape(height // 2, 2, width // 2, 2, channels), axis=(1, 3))

    x = halve(activation(convolve(image, parameters["conv1"])))
    x = halve(activation(convolve(x, parameters["conv2"]))).ravel()
    for name in ("fc1", "fc2", "fc3"):
        x = x @ np.asarray(parameters[name]["kernel"]) + np.asarray(parameters[name]["bias"])
        x = x if name == "fc3" else activation(x)
    return x


@pytest.mark.parametrize(
    ("name", "activation", "pool"),
    [("lenet5", np.tanh, np.mean), ("lenet5_relu", lambda x: np.maximum(x, 0), np.max)],
)
@pytest.mark.parametrize("size", [28, 32, 64])
def test_equals_the_network_written_out(name, activation, pool, size):
    model = jdl.create_model(name, num_classes=7)
    images = np.random.RandomState(0).rand(2, size, size, 3).astype(np.float32)
    logits, variables = jax.jit(model.init_with_output)(jax.random.key(0), images)
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)]) if size == 28 else images
    expected = [by_hand(variables["params"], image, activation, pool) for image in padded]
    np.testing.assert_allclose(logits, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_first_dense_layer_is_all_that_a_larger_image_changes():
    model = jdl.create_model("lenet5")
    shapes = {
        size: jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 1)))["params"]
        for size in (28, 64)
    }
    assert shapes[28]["fc1"]["kernel"].shape == (400, 120)
    assert shapes[64].pop("fc1")["kernel"].shape == (2704, 120)
    del shapes[28]["fc1"]
    assert shapes[28] == shapes[64]


def test_another_size_is_refused():
    with pytest.raises(UserError, match="28x28, 32x32 or 64x64 pixels, not 30x28"):
        jdl.create_model("lenet5").init(jax.random.key(0), jnp.zeros((1, 30, 28, 1)))


def test_half_precision_keeps_parameters_in_single():
    model = jdl.create_model("lenet5", dtype=jnp.bfloat16)
    logits, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    )
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
