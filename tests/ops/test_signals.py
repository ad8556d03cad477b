"""One convolution, computed in five ways; and its algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.test_util import check_grads

from jdl.errors import UserError
from jdl.ops.signals import (
    convolution_matrix,
    convolve,
    correlate,
    correlate_channels,
    fft_convolve,
    output_size,
    separable_convolve,
    separate,
)

SHAPES = [((17,), (4,)), ((9, 12), (3, 4)), ((6, 7, 8), (2, 3, 3))]
MODES = ["full", "same", "valid"]

numbers = st.floats(-2, 2, width=32)
signals = arrays(np.float32, 8, elements=numbers).map(jnp.asarray)
kernels = arrays(np.float32, st.sampled_from([2, 3]), elements=numbers).map(jnp.asarray)


def draw(*shapes, seed=0):
    random = np.random.RandomState(seed)
    return [jnp.asarray(random.randn(*shape), jnp.float32) for shape in shapes]


def close(ours, theirs, **tolerance):
    np.testing.assert_allclose(ours, theirs, **{"rtol": 1e-5, "atol": 1e-5, **tolerance})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shapes", SHAPES)
def test_every_way_gives_scipys_numbers(shapes, mode):
    x, h = draw(*shapes)
    expected = scipy.signal.convolve(x, h, mode, method="direct")
    close(convolve(x, h, mode), expected)
    close(fft_convolve(x, h, mode), expected)
    matrix = convolution_matrix(h, x.shape, mode)
    close((matrix @ x.ravel()).reshape(expected.shape), expected)
    close(correlate(x, h, mode), scipy.signal.correlate(x, h, mode, method="direct"))


@pytest.mark.parametrize("mode", MODES)
def test_an_outer_product_is_a_pass_along_each_axis(mode):
    x, u, v = draw((9, 12), (3,), (4,))
    close(separable_convolve(x, [u, v], mode), convolve(x, jnp.outer(u, v), mode))


def test_what_is_separable_is_found_to_be():
    u, v = np.array([1.0, 2.0, 1.0]), np.array([1.0, 0.0, -1.0, 3.0])
    close(np.outer(*separate(np.outer(u, v))), np.outer(u, v))
    with pytest.raises(UserError, match="a sum of 3 outer products"):
        separate(np.eye(3))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_stride_and_dilation_against_loops(stride, dilation):
    x, h = draw((11, 13), (3, 2))
    pads = [(1, 2), (0, 1)]
    padded = np.pad(x, pads)
    spread = np.zeros([dilation * (k - 1) + 1 for k in h.shape])
    spread[::dilation, ::dilation] = h
    expected = scipy.signal.correlate(padded, spread, "valid", method="direct")
    found = correlate(x, h, pads, stride, dilation)
    close(found, expected[::stride, ::stride])
    sizes = [
        output_size(n, k, stride, sum(pad), dilation) for n, k, pad in zip(x.shape, h.shape, pads)
    ]
    assert list(found.shape) == sizes


def test_leading_axes_are_a_batch():
    x, h = draw((2, 3, 10), (4,))
    rows = [[np.convolve(row, h) for row in rows] for rows in x]
    close(convolve(x, h), rows)
    close(fft_convolve(x, h), rows)


def test_groups_see_their_own_channels_only():
    x, h = draw((2, 9, 4), (3, 2, 6))
    found = correlate_channels(x, h, "same", groups=2)
    for feature in range(6):
        first = 2 * (feature // 3)
        alone = sum(
            correlate(x[:, :, first + channel], h[:, channel, feature], "same")
            for channel in range(2)
        )
        close(found[:, :, feature], alone)


@pytest.mark.parametrize(
    ("size", "taps", "more", "expected"),
    [
        (32, 5, {}, 28),  # both lectures: n − k + 1, (n − k)/s + 1
        (28, 5, {"padding": 4}, 28),  # n − k + p + 1, and p = k − 1 keeps the size
        (227, 11, {"stride": 4}, 55),
        (10, 3, {"dilation": 4}, 2),
    ],
)
def test_the_lectures_sizes(size, taps, more, expected):
    assert output_size(size, taps, **more) == expected


@given(signals, signals, kernels, numbers, numbers)
def test_it_is_linear(x, y, h, a, b):
    close(convolve(a * x + b * y, h), a * convolve(x, h) + b * convolve(y, h), atol=1e-4)


@given(signals, kernels, st.integers(1, 4))
def test_a_shift_of_the_signal_is_one_of_the_result(x, h, shift):
    moved = convolve(jnp.pad(x, (shift, 0)), h)
    close(moved, jnp.pad(convolve(x, h), (shift, 0)))


@given(signals, kernels)
def test_it_is_commutative(x, h):
    close(convolve(x, h), convolve(h, x))


@given(signals, kernels, kernels)
def test_it_is_associative(x, h, g):
    close(convolve(convolve(x, h), g), convolve(x, convolve(h, g)), atol=1e-4)


@given(signals, kernels)
def test_spectra_are_multiplied(x, h):
    n = len(x) + len(h) - 1
    close(np.fft.fft(convolve(x, h)), np.fft.fft(x, n) * np.fft.fft(h, n), atol=1e-4)


@pytest.mark.parametrize("way", [convolve, fft_convolve])
def test_it_can_be_differentiated(way):
    # The checker hands over NumPy's arrays.
    forward = lambda x, h: way(jnp.asarray(x), jnp.asarray(h), "same")
    with jax.enable_x64():
        pair = [jnp.asarray(a, jnp.float64) for a in draw((2, 6, 5), (3, 2))]
        check_grads(forward, pair, order=1, modes=["rev"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: convolve(jnp.ones(2), jnp.ones(3), "valid"), "reaches over 3 samples"),
        (lambda: fft_convolve(jnp.ones(2), jnp.ones(3), "valid"), "reaches over 3 samples"),
        (lambda: convolve(jnp.ones(2), jnp.ones((2, 2))), "a kernel of 2 axes and a signal of 1"),
        (lambda: convolution_matrix(jnp.ones(2), (3, 3)), "a signal of 2 axes and a kernel of 1"),
        (lambda: convolve(jnp.ones((4, 4)), jnp.ones((2, 2)), [(0, 0)]), "zeros are told for 1"),
        (
            lambda: correlate_channels(jnp.ones((1, 5, 3)), jnp.ones((3, 2, 4))),
            "3 channels and 4 features in 1 groups need kernels of 3 channels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_nothing_but_the_kernels_axes_is_compiled_in():
    compiled = jax.jit(lambda x, h: convolve(x, h, "same"))
    x, h = draw((4, 4), (3, 3))
    close(compiled(x, h), convolve(x, h, "same"))
