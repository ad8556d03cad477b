import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.dense.swinir import to_pixels

KEY = jax.random.key(0)
TINY = {"depths": (2,), "width": 12, "num_heads": 2}


@pytest.mark.parametrize("name", jdl.list_models("swinir_*"))
@pytest.mark.parametrize("size", [(48, 56), (1, 3), (65, 31)])
def test_images_of_any_size_are_enlarged(name, size):
    model = jdl.create_model(name)
    images = jnp.zeros((1, *size, model.in_channels))
    scale = int(name[-1]) if "_x" in name else 1
    restored, _ = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert restored.shape == (1, scale * size[0], scale * size[1], model.in_channels)


def test_padding_mirrors_the_image():
    model = jdl.create_model("swinir_denoise_grey", **TINY)
    images = jax.random.uniform(KEY, (1, 13, 14, 1))
    variables = jax.jit(model.init)(KEY, images)
    whole = jnp.pad(images, [(0, 0), (0, 3), (0, 2), (0, 0)], "reflect")
    expected = model.apply(variables, whole)[:, :13, :14]
    np.testing.assert_allclose(model.apply(variables, images), expected, rtol=0, atol=1e-5)


def test_a_network_that_adds_nothing_leaves_the_image():
    for name in ("swinir_denoise_colour", "swinir_jpeg"):
        model = jdl.create_model(name, **TINY)
        images = jax.random.uniform(KEY, (1, 8, 9, model.in_channels))
        variables = jax.jit(model.init)(KEY, images)
        last = jax.tree.map(jnp.zeros_like, variables["params"]["conv_last"])
        variables = {"params": {**variables["params"], "conv_last": last}}
        np.testing.assert_allclose(model.apply(variables, images), images, rtol=0, atol=1e-5)


def test_channels_are_laid_out_as_torch_does():
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 18)).astype(np.float32)
    expected = torch.pixel_shuffle(torch.from_numpy(maps).permute(0, 3, 1, 2), 3)
    found = to_pixels(jnp.asarray(maps), 3)
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())


def test_layers_are_left_out_only_when_training():
    model = jdl.create_model("swinir_light_x2", stochastic_depth_rate=0.5, **TINY)
    images = jax.random.uniform(KEY, (4, 16, 16, 3))
    variables = jax.jit(model.init)(KEY, images)

    @jax.jit
    def drawn(seed):
        return model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})

    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert not jnp.allclose(drawn(0), drawn(1))
    jax.eval_shape(model.apply, variables, images)  # asks for no key


@pytest.mark.parametrize(
    ("options", "channels", "message"),
    [
        ({}, 1, "these images have 1 channel, the network takes 3"),
        ({"upscale": 5}, 3, "SwinIR enlarges by 3 or a power of 2, not by 5"),
        ({"upsampler": "bicubic"}, 3, "SwinIR's upsampler is .* not 'bicubic' to enlarge by 2"),
        ({"upsampler": ""}, 3, "SwinIR's upsampler is .* not '' to enlarge by 2"),
    ],
)
def test_what_does_not_fit_is_refused(options, channels, message):
    model = jdl.create_model("swinir_classical_x2", **TINY, **options)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.init, KEY, jnp.zeros((1, 8, 8, channels)))
