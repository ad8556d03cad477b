import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.weights import load_weights, save_weights

KEY = jax.random.key(0)
SMALL = {
    "patch_size": 8,
    "width": 24,
    "num_layers": 2,
    "num_heads": 3,
    "mlp_width": 48,
    "image_size": 32,
    "num_classes": 5,
}


def small(**overrides):
    return jdl.create_model("vit_ti_16", **{**SMALL, **overrides})


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(KEY, (2, 32, 32, 3))


@pytest.fixture(scope="module")
def variables(images):
    variables = jax.jit(small().init)(KEY, images)
    # A head that is not zero, so that logits say something.
    head = jax.random.normal(KEY, (24, 5))
    return {"params": {**variables["params"], "heads.head": {"kernel": head, "bias": head[0]}}}


@pytest.mark.parametrize(
    ("name", "tokens", "width"),
    [("vit_ti_16", 197, 192), ("vit_b_32", 50, 768), ("vit_h_14", 257, 1280)],
)
def test_an_image_is_so_many_words(name, tokens, width):
    model = jdl.create_model(name)

    def look(key):
        y, variables = model.init_with_output(key, jnp.zeros((1, 224, 224, 3)))
        return y, variables["params"]["encoder"]["pos_embedding"]

    logits, positions = jax.eval_shape(look, KEY)
    assert (logits.shape, positions.shape) == ((1, 1000), (1, tokens, width))


def test_intermediates(variables, images):
    names = [
        "patches",
        "encoder.layers.encoder_layer_1.output",
        "encoder.layers.encoder_layer_1.self_attention.weights",
        "pooled",
    ]
    found = jdl.features(small(), variables, images, names=names)
    shapes = [(2, 16, 24), (2, 17, 24), (2, 3, 17, 17), (2, 24)]
    assert [found[name].shape for name in names] == shapes
    np.testing.assert_allclose(found[names[2]].sum(-1), 1, rtol=1e-5)


def test_a_new_network_says_nothing(images):
    logits, _ = jax.jit(small().init_with_output)(KEY, images)
    assert float(jnp.abs(logits).max()) == 0


def in_patches(images, order):
    """Puts the patches of images in another order."""
    batch, height, width, channels = images.shape
    rows, columns = height // 8, width // 8
    patches = images.reshape(batch, rows, 8, columns, 8, channels).swapaxes(2, 3)
    patches = patches.reshape(batch, -1, 8, 8, channels)[:, order]
    patches = patches.reshape(batch, rows, columns, 8, 8, channels).swapaxes(2, 3)
    return patches.reshape(images.shape)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_only_positions_tell_the_order_of_patches(variables, images, pool):
    model = small(pool=pool)
    shuffled = in_patches(images, np.random.RandomState(0).permutation(16))
    with_positions = model.apply(variables, images), model.apply(variables, shuffled)
    assert float(jnp.abs(with_positions[0] - with_positions[1]).max()) > 1e-3
    positions = jnp.zeros_like(variables["params"]["encoder"]["pos_embedding"])
    encoder = {**variables["params"]["encoder"], "pos_embedding": positions}
    without = {"params": {**variables["params"], "encoder": encoder}}
    np.testing.assert_allclose(
        model.apply(without, images), model.apply(without, shuffled), rtol=1e-3, atol=1e-4
    )


def test_token_and_mean_share_their_parameters(variables, images):
    token, mean = (small(pool=pool).apply(variables, images) for pool in ("token", "mean"))
    assert float(jnp.abs(token - mean).max()) > 1e-3
    shapes = [jax.eval_shape(small(pool=pool).init, KEY, images) for pool in ("token", "mean")]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("rate", ["dropout_rate", "attention_dropout_rate"])
def test_dropout_only_when_training(variables, images, rate):
    model = small(**{rate: 0.5})
    expected = small().apply(variables, images)
    np.testing.assert_array_equal(model.apply(variables, images), expected)
    drawn = [
        model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(i)})
        for i in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert float(jnp.abs(drawn[0] - expected).max()) > 1e-3
    assert float(jnp.abs(drawn[0] - drawn[2]).max()) > 1e-3


def test_weights_at_another_image_size(variables, images, tmp_path):
    file = tmp_path / "vit.safetensors"
    save_weights(small(), variables, file)
    larger = small(image_size=48)
    loaded = load_weights(larger, file)
    old = variables["params"]["encoder"]["pos_embedding"]
    new = loaded["params"]["encoder"]["pos_embedding"]
    assert (old.shape, new.shape) == ((1, 17, 24), (1, 37, 24))
    np.testing.assert_array_equal(new[:, 0], old[:, 0])
    grid = np.asarray(old[:, 1:]).reshape(4, 4, 24)
    np.testing.assert_allclose(
        new[:, 1:].reshape(6, 6, 24), jax.image.resize(grid, (6, 6, 24), "bicubic"), atol=1e-6
    )
    assert larger.apply(loaded, jnp.zeros((1, 48, 48, 3))).shape == (1, 5)
    back = load_weights(small(), file)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), back, variables))


@pytest.mark.parametrize(
    ("overrides", "shape", "message"),
    [
        ({}, (1, 32, 40, 3), "takes images of 32x32 pixels, not 32x40; set image_size"),
        ({}, (1, 32, 32, 1), "these images have 1 channel, the network takes 3"),
        ({"image_size": 36}, (1, 36, 36, 3), "36 pixels do not divide into patches of 8"),
        ({"num_heads": 5}, (1, 32, 32, 3), "a width of 24 does not divide into 5 heads"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, shape, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(small(**overrides).init, KEY, jnp.zeros(shape))


def test_half_precision_keeps_parameters_in_single(images):
    logits, variables = jax.eval_shape(
        lambda: small(dtype=jnp.bfloat16).init_with_output(KEY, images)
    )
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
