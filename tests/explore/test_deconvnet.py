import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore.deconvnet import deconvnet, mosaic, patches_figure, strongest, top_patches
from jdl.explore.interpreter import with_rectifier
from jdl.ops.pooling import max_pool


class Small(nn.Module):
    """Two layers of convolution, ReLU and max-pooling, the second with stride and overlap."""

    @nn.compact
    def __call__(self, images):
        x = max_pool(nn.relu(nn.Conv(4, (3, 3), padding=1, name="conv1")(images)))
        x = nn.Conv(5, (3, 3), (2, 2), padding="VALID", name="conv2")(x)
        return max_pool(nn.relu(x), 3, 2)


def network(model, size, seed=0, channels=2):
    images = jax.random.normal(jax.random.key(seed), (1, size, size, channels))
    variables = model.init(jax.random.key(seed + 1), images)
    # Biases that are not zero: they must have no part in the projection.
    params = jax.tree.map(lambda p: p + 0.1 if p.ndim == 1 else p, variables["params"])
    return lambda x: model.apply({"params": params}, x), params, images


def pool_by_hand(x, window, stride):
    """Returns maxima [rows, columns, channels] and where each came from."""
    rows = (x.shape[0] - window) // stride + 1
    columns = (x.shape[1] - window) // stride + 1
    maxima = np.zeros((rows, columns, x.shape[2]))
    switches = np.zeros((*maxima.shape, 2), int)
    for i, j, c in np.ndindex(*maxima.shape):
        patch = x[i * stride :, j * stride :][:window, :window, c]
        u, v = np.unravel_index(patch.argmax(), patch.shape)
        maxima[i, j, c] = patch[u, v]
        switches[i, j, c] = i * stride + u, j * stride + v
    return maxima, switches


def unpool_by_hand(signal, switches, shape):
    x = np.zeros(shape)
    for i, j, c in np.ndindex(*signal.shape):
        x[(*switches[i, j, c], c)] = signal[i, j, c]
    return x


def convolve_by_hand(x, kernel, stride, padding):
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    rows, columns = ((n - 3) // stride + 1 for n in x.shape[:2])
    y = np.zeros((rows, columns, kernel.shape[3]))
    for i, j in np.ndindex(rows, columns):
        y[i, j] = np.tensordot(x[i * stride :, j * stride :][:3, :3], kernel, 3)
    return y


def filter_back_by_hand(signal, kernel, stride, padding, shape):
    x = np.zeros((shape[0] + 2 * padding, shape[1] + 2 * padding, shape[2]))
    for i, j in np.ndindex(*signal.shape[:2]):
        x[i * stride :, j * stride :][:3, :3] += kernel @ signal[i, j]
    return x[padding : padding + shape[0], padding : padding + shape[1]]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_zeilers_by_hand(seed):
    apply, params, images = network(Small(), 23, seed)
    kernels = [np.asarray(params[f"conv{i}"]["kernel"], np.float64) for i in (1, 2)]
    biases = [np.asarray(params[f"conv{i}"]["bias"], np.float64) for i in (1, 2)]
    x0 = np.asarray(images[0], np.float64)
    y1 = np.maximum(convolve_by_hand(x0, kernels[0], 1, 1) + biases[0], 0)
    x1, switches1 = pool_by_hand(y1, 2, 2)
    y2 = np.maximum(convolve_by_hand(x1, kernels[1], 2, 0) + biases[1], 0)
    x2, switches2 = pool_by_hand(y2, 3, 2)
    np.testing.assert_allclose(apply(images)[0], x2, rtol=1e-4, atol=1e-5)

    where = np.unravel_index(x2.argmax(), x2.shape)
    signal = np.zeros_like(x2)
    signal[where] = x2[where]
    signal = np.maximum(unpool_by_hand(signal, switches2, y2.shape), 0)
    signal = filter_back_by_hand(signal, kernels[1], 2, 0, x1.shape)
    signal = np.maximum(unpool_by_hand(signal, switches1, y1.shape), 0)
    expected = filter_back_by_hand(signal, kernels[0], 1, 1, x0.shape)

    projection = deconvnet(apply, images, strongest)
    np.testing.assert_allclose(projection[0], expected, rtol=1e-4, atol=1e-5)
    # Of what the third network feeds back, rectification leaves nothing.
    assert expected.any() == (seed != 2)
    # A gradient of the same activation is something else.
    gradient = jax.grad(lambda x: jnp.square(strongest(apply(x))).sum() / 2)(images)
    assert np.abs(gradient[0] - expected).max() > 0.05 * np.abs(gradient).max()


@jax.custom_vjp
def zeiler_relu(x):
    return jnp.maximum(x, 0)


zeiler_relu.defvjp(lambda x: (zeiler_relu(x), None), lambda _, g: (jnp.maximum(g, 0),))


@pytest.mark.parametrize(("name", "size"), [("vgg11", 32), ("vgg11_bn", 33), ("lenet5_relu", 28)])
def test_without_overlap_it_is_a_gradient_through_other_relus(name, size):
    """Then every pixel has one window at most: placing signals and adding them up is the same."""
    narrow = {"widths": (3, 4, 5, 6, 7), "hidden": 8} if name != "lenet5_relu" else {}
    model = jdl.create_model(name, num_classes=3, **narrow)
    channels = 1 if name == "lenet5_relu" else 3
    images = jax.random.normal(jax.random.key(0), (2, size, size, channels))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    layer = "pool4" if name != "lenet5_relu" else "f6"
    look = lambda x: jdl.features(model, variables, x, names=[layer])[layer]
    projection = jax.jit(lambda x: deconvnet(look, x, strongest))(images)

    @jax.jit
    def gradient(x):
        activations, pull = jax.vjp(with_rectifier(look, zeiler_relu), x)
        return pull(strongest(activations))[0]

    np.testing.assert_allclose(projection, gradient(images), rtol=1e-3, atol=1e-6)
    assert float(jnp.abs(projection).max()) > 0


def test_it_goes_through_normalisation_and_overlap():
    options = {"features": (4, 4, 4, 4, 4), "hidden": 8, "init_scale": 30.0}
    model = jdl.create_model("zfnet", num_classes=3, **options)
    images = jax.random.normal(jax.random.key(0), (1, 96, 96, 3))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    look = lambda x: jdl.features(model, variables, x, names=["relu3"])["relu3"]
    activations = look(images)
    projection = jax.jit(lambda x: deconvnet(look, x, strongest))(images)
    assert float(activations.max()) > 0
    assert projection.shape == images.shape
    assert 0 < float(jnp.abs(projection).max()) < np.inf


def test_of_what_an_activation_does_not_see_it_says_nothing():
    apply, _, images = network(Small(), 40)
    corner = lambda y: y.at[:, 1:].set(0).at[:, :, 1:].set(0)
    projection = np.asarray(deconvnet(apply, images, corner))
    # 3 + 1 + 2·2 + 2·4 = 16 pixels, of which the first is padding.
    assert np.abs(projection[0, 15:]).max() == 0
    assert np.abs(projection[0, :, 15:]).max() == 0
    assert np.abs(projection).max() > 0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (jnp.tanh, r"another operation \(tanh\)"),
        (lambda x: nn.relu(x) + x, r"branches meet in this one \(add\)"),
        (lambda x: nn.sigmoid(x) * x, r"branches meet in this one \(mul\)"),
    ],
)
def test_what_is_not_one_layer_after_the_other_is_refused(function, reason):
    with pytest.raises(UserError, match=reason):
        deconvnet(function, jnp.ones((1, 4, 4, 1)), lambda y: y)


def test_the_strongest_is_left():
    y = jax.random.normal(jax.random.key(0), (3, 4, 4, 5))
    kept = np.asarray(strongest(y))
    assert (np.count_nonzero(kept, axis=(1, 2, 3)) == 1).all()
    np.testing.assert_array_equal(kept.max((1, 2, 3)), y.max((1, 2, 3)))
    of_one = np.asarray(strongest(y, 2))
    np.testing.assert_array_equal(of_one[..., 2].max((1, 2)), y[..., 2].max((1, 2)))
    assert not of_one[..., [0, 1, 3, 4]].any()


def test_patches_are_where_the_feature_is_strongest():
    """A feature that looks for a bright pixel finds it, in the pictures where it is brightest."""
    random = np.random.RandomState(0)
    images = random.uniform(0, 0.1, (12, 16, 16, 1)).astype(np.float32)
    places = random.randint(0, 16, (12, 2))
    for n, (i, j) in enumerate(places):
        images[n, i, j] = 0.3 + n / 20
    kernel = jnp.zeros((3, 3, 1, 2)).at[1, 1, 0, 0].set(1.0).at[1, 1, 0, 1].set(-1.0)

    def network(x):
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return max_pool(nn.relu(y))

    advanced = []
    patches = top_patches(network, images, [0], 4, lambda: advanced.append(1))
    assert len(advanced) == 1
    assert patches.pictures.shape == patches.projections.shape == (1, 4, 4, 4, 1)
    np.testing.assert_allclose(patches.activations[0], [0.85, 0.8, 0.75, 0.7], rtol=1e-6)
    for picture, projection, activation in zip(
        patches.pictures[0], patches.projections[0], patches.activations[0]
    ):
        assert picture.max() == activation
        expected = np.where(picture == picture.max(), picture, 0)
        np.testing.assert_allclose(projection, expected, atol=1e-6)
    assert len(patches_figure(patches, "title").axes) == 2
    # The other one answers to nothing, and is left out where nobody asks for it.
    assert top_patches(network, images, count=4).features == [0]
    with pytest.raises(UserError, match="no feature of this layer answers to 4 of these images"):
        top_patches(network, 0 * images, count=4)
    with pytest.raises(UserError, match="9 patches .* not 3"):
        top_patches(network, images[:3], [0])
    with pytest.raises(UserError, match=r"features 0 to 1, not \[2\]"):
        top_patches(network, images, [2])


def test_a_mosaic_has_every_image_once():
    images = np.stack([np.full((2, 3, 1), i / 5) for i in range(5)])
    laid = mosaic(images, gap=2)
    assert laid.shape == (3 * 2 + 2 * 2, 3 * 3 + 2 * 2, 1)
    for i in range(5):
        assert (laid == i / 5).sum() == 6
