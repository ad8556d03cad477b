import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.ops.tiling import overlap_tile


def integers(*shape):
    """Small ones, whose sums are exact in whatever order a processor takes them."""
    return np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)


@pytest.fixture(scope="module")
def valid():
    """Three valid convolutions, which lose three pixels on every side."""
    kernels = integers(3, 3, 3, 2, 2)

    @jax.jit
    def apply(x):
        for kernel in kernels:
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x)
        return x

    return apply


@pytest.mark.parametrize("size", [(40, 52), (10, 10), (33, 9), (7, 25)])
@pytest.mark.parametrize("step", [None, 7])
def test_tiles_are_the_whole_image(valid, size, step):
    image = integers(*size, 2)
    whole = valid(np.pad(image, [(3, 3), (3, 3), (0, 0)], "reflect")[None])[0]
    assert whole.shape == image.shape
    np.testing.assert_array_equal(overlap_tile(valid, image, 16, step), whole)


def test_a_unet_on_tiles_is_the_unet_on_the_image():
    model = jdl.create_model("unet", features=(4, 6, 8), dropout=0.0)
    images = jnp.zeros((1, 60, 60, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    apply = jax.jit(lambda x: model.apply(variables, x))
    # Each tile is answered for 20 pixels, five times the distance of the deepest ones.
    image = np.random.default_rng(0).standard_normal((40, 60, 1)).astype(np.float32)
    tiled = overlap_tile(apply, image, 60)
    whole = apply(np.pad(image, [(20, 20), (20, 20), (0, 0)], "reflect")[None])[0]
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)
    assert np.ptp(tiled) > 0.1


def test_one_shape_is_compiled_whatever_the_image():
    shapes = []

    @jax.jit
    def apply(x):
        shapes.append(x.shape)  # while it is traced
        return x[:, 2:-2, 2:-2]

    for size in [(50, 61), (9, 200), (3, 1)]:
        image = np.random.default_rng(0).standard_normal((*size, 1)).astype(np.float32)
        np.testing.assert_array_equal(overlap_tile(apply, image, 12), image)
    assert set(shapes) == {(1, 12, 12, 1)}
    assert apply._cache_size() == 1


@pytest.mark.parametrize("size", [(21, 34), (5, 9)])
def test_answers_may_be_larger_than_the_image(valid, size):
    enlarge = jax.jit(lambda x: valid(x).repeat(3, 1).repeat(3, 2))
    image = integers(*size, 2)
    tiles = []
    enlarged = overlap_tile(enlarge, image, 16, 7, scale=3, advance=lambda: tiles.append(1))
    whole = valid(np.pad(image, [(3, 3), (3, 3), (0, 0)], "reflect")[None])[0]
    np.testing.assert_array_equal(enlarged, np.kron(whole, np.ones((3, 3, 1))))
    assert len(tiles) == -(-size[0] // 7) * -(-size[1] // 7)


def test_a_large_image_takes_no_more_memory_than_a_tile():
    """The paper's U-Net on 1024×1024 pixels: nine times the program of 572, never that of 1212."""
    asked = []

    @jax.jit
    def middle(x):
        return x[:, 92:-92, 92:-92]

    def apply(x):
        asked.append(x.shape)
        return middle(x)

    image = np.random.default_rng(0).random((1024, 1024, 1), np.float32)
    np.testing.assert_array_equal(overlap_tile(apply, image, 572), image)
    assert asked == [(1, 572, 572, 1)] * 10  # once for its shape
    model = jdl.create_model("unet")
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 572, 572, 1)))

    def megabytes(side):
        images = jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)
        program = jax.jit(model.apply).lower(variables, images).compile()
        return program.memory_analysis().temp_size_in_bytes / 2**20

    tile, whole = megabytes(572), megabytes(1212)  # 1212 pixels are answered for 1028
    assert 100 < tile < 300
    assert whole > 4 * tile


def test_what_does_not_fit_is_refused(valid):
    image = np.zeros((20, 20, 2), np.float32)
    with pytest.raises(UserError, match="steps of 11 pixels leave gaps: .* answered for 10"):
        overlap_tile(valid, image, 16, 11)
    for apply in (lambda x: x[:, 1:], lambda x: x[:, 1:, 1:], lambda x: jnp.pad(x, 1)[:1, ..., :2]):
        with pytest.raises(UserError, match="tiles of 16x16 pixels have to be answered for their"):
            overlap_tile(apply, image, 16)
