import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.ops.pooling import (
    adaptive_avg_pool,
    avg_pool,
    global_pool,
    max_pool,
    stochastic_pool,
    sum_pool,
)

CASES = [  # height, width, window, stride, padding
    (8, 6, 2, 2, 0),
    (9, 7, 2, 2, 0),
    (7, 9, 3, 2, 1),
    (8, 8, 3, 2, 0),
    (6, 7, 3, 1, 1),
    (9, 9, 2, 3, 0),
]


def images_with_ties(height, width):
    """Images of few different values, as after a ReLU: the first maximum must win."""
    values = np.random.RandomState(0).randint(0, 3, (2, height, width, 3))
    return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize("case", CASES)
def test_max_pool_equals_reduce_window_forward_and_backward(case):
    height, width, window, stride, padding = case
    images = images_with_ties(height, width)

    def reference(x):
        return nn.max_pool(x, (window, window), (stride, stride), [(padding, padding)] * 2)

    def value_and_pullback(pool):
        pooled, pullback = jax.vjp(pool, images)
        return pooled, pullback(jnp.arange(pooled.size, dtype=jnp.float32).reshape(pooled.shape))[0]

    expected = jax.jit(lambda: value_and_pullback(reference))()
    found = jax.jit(lambda: value_and_pullback(lambda x: max_pool(x, window, stride, padding)))()
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_avg_pool_counts_padded_zeros(case):
    height, width, window, stride, padding = case
    images = images_with_ties(height, width)
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(1, 2))
    expected = windows[:, ::stride, ::stride].mean((-2, -1))
    np.testing.assert_allclose(avg_pool(images, window, stride, padding), expected, rtol=1e-6)


CEIL_CASES = [  # height, width, window, stride, padding, and the size of the result
    (112, 112, 3, 2, 0, (56, 56)),
    (8, 9, 3, 2, 0, (4, 4)),
    (5, 6, 2, 2, 0, (3, 3)),
    (7, 6, 3, 1, 1, (7, 6)),
    (6, 5, 3, 2, 1, (4, 3)),
    # A window that starts beyond the image is dropped: here the sixth pixel is the padding's.
    (5, 5, 2, 3, 1, (2, 2)),
    (1, 2, 2, 2, 0, (1, 1)),
]


@pytest.mark.parametrize("case", CEIL_CASES)
def test_ceil_mode_equals_reduce_window_forward_and_backward(case):
    height, width, window, stride, padding, size = case
    images = images_with_ties(height, width)
    after = [(n - 1) * stride + window - m - padding for n, m in zip(size, (height, width))]
    pads = [(padding, max(after[0], 0)), (padding, max(after[1], 0))]

    def reference(x):
        return nn.max_pool(x, (window, window), (stride, stride), pads)

    def value_and_pullback(pool):
        pooled, pullback = jax.vjp(pool, images)
        return pooled, pullback(jnp.arange(pooled.size, dtype=jnp.float32).reshape(pooled.shape))[0]

    found = value_and_pullback(lambda x: max_pool(x, window, stride, padding, ceil_mode=True))
    expected = value_and_pullback(reference)
    assert found[0].shape[1:3] == size
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def test_ceil_mode_and_uncounted_padding_are_torchs():
    torch = pytest.importorskip("torch")
    for height in range(1, 12):
        for window, stride, padding in [(2, 2, 0), (3, 2, 0), (3, 1, 1), (3, 2, 1), (2, 3, 1)]:
            if height + 2 * padding < window:
                continue
            images = np.random.RandomState(height).randn(2, height, 11, 3).astype(np.float32)
            theirs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            options = {"kernel_size": window, "stride": stride, "padding": padding}
            found = max_pool(jnp.asarray(images), window, stride, padding, ceil_mode=True)
            expected = torch.nn.functional.max_pool2d(theirs, **options, ceil_mode=True)
            np.testing.assert_array_equal(found, expected.numpy().transpose(0, 2, 3, 1))
            found = avg_pool(jnp.asarray(images), window, stride, padding, count_padding=False)
            expected = torch.nn.functional.avg_pool2d(theirs, **options, count_include_pad=False)
            expected = expected.numpy().transpose(0, 2, 3, 1)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_uncounted_padding_equals_reduce_window_forward_and_backward(case):
    height, width, window, stride, padding = case
    images = images_with_ties(height, width)
    shape = (window, window), (stride, stride), [(padding, padding)] * 2

    def reference(x):
        return nn.avg_pool(x, *shape, count_include_pad=False)

    def pool(x):
        return avg_pool(x, window, stride, padding, count_padding=False)

    found, expected = jax.vjp(pool, images), jax.vjp(reference, images)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    gradient = jnp.arange(found[0].size, dtype=jnp.float32).reshape(found[0].shape)
    np.testing.assert_allclose(found[1](gradient)[0], expected[1](gradient)[0], rtol=1e-5)


def test_negative_images_keep_their_maximum_beside_the_padding():
    assert float(max_pool(-jnp.ones((1, 2, 2, 1)), 3, 1, 1).max()) == -1


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 12, 13])
@pytest.mark.parametrize("count", [1, 6, 7])
def test_adaptive_windows_are_torchs(size, count):
    images = np.random.RandomState(0).randn(2, size, 7, 3).astype(np.float32)
    found = adaptive_avg_pool(jnp.asarray(images), count, 3)
    starts = np.floor(np.arange(count) * size / count).astype(int)
    ends = np.ceil((np.arange(count) + 1) * size / count).astype(int)
    columns = [(0, 3), (2, 5), (4, 7)]
    expected = [
        [images[:, a:b, c:d].mean((1, 2)) for c, d in columns] for a, b in zip(starts, ends)
    ]
    np.testing.assert_allclose(found, np.moveaxis(np.array(expected), 2, 0), rtol=1e-4, atol=1e-6)


def test_adaptive_pooling_to_the_same_size_changes_nothing():
    images = jnp.ones((1, 7, 7, 2))
    assert adaptive_avg_pool(images, 7, 7) is images


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_windows_that_do_not_fit_are_refused(pool):
    with pytest.raises(UserError, match="2x5 pixels are pooled by windows of 3x3"):
        pool(jnp.ones((1, 2, 5, 1)), 3)


def test_an_unknown_global_pool_is_refused():
    with pytest.raises(UserError, match="one of avg, max and avgmax, not 'mean'"):
        global_pool(jnp.zeros((1, 2, 2, 1)), "mean")


def test_sums_of_windows_that_overlap():
    images = images_with_ties(7, 9)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    np.testing.assert_allclose(
        sum_pool(images, 3, 2), windows[:, ::2, ::2].sum((-2, -1)), rtol=1e-6
    )


def test_stochastic_pooling_draws_in_proportion():
    window = jnp.array([[1.0, 0.0], [2.0, 5.0]]).reshape(1, 2, 2, 1)
    draw = jax.vmap(lambda key: stochastic_pool(window, key=key)[0, 0, 0, 0])
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 20_000)))
    shares = [np.mean(drawn == value) for value in (0, 1, 2, 5)]
    np.testing.assert_allclose(shares, [0, 1 / 8, 2 / 8, 5 / 8], atol=0.015)
    np.testing.assert_allclose(drawn.mean(), stochastic_pool(window).item(), rtol=0.02)


def test_stochastic_pooling_gives_the_gradient_to_what_was_drawn():
    images = jnp.abs(images_with_ties(4, 6)) + 0.5
    pool = lambda x: stochastic_pool(x, key=jax.random.key(1))
    pooled, pullback = jax.vjp(pool, images)
    gradient = pullback(jnp.ones_like(pooled))[0]
    np.testing.assert_array_equal(sum_pool(gradient), jnp.ones_like(pooled))
    np.testing.assert_allclose(sum_pool(gradient * images), pooled, rtol=1e-6)


def test_stochastic_pooling_of_zeros_is_zero():
    assert not stochastic_pool(jnp.zeros((1, 4, 4, 1))).any()
    assert not stochastic_pool(jnp.zeros((1, 4, 4, 1)), key=jax.random.key(0)).any()
