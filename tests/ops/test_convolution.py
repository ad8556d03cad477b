import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops import im2col
from jdl.ops.convolution import causal_conv, conv_general_dilated, conv_transpose

CASES = [  # height, width, kernel, stride, padding, output_padding
    (1, 1, 4, 1, 0, 0),
    (4, 5, 4, 2, 1, 0),
    (5, 4, 3, 2, 1, 1),
    (4, 4, 5, 2, 2, 1),
    (3, 4, 2, 2, 0, 0),
    (4, 3, 3, 1, 1, 0),
    (3, 3, 2, 3, 0, 0),
]


def scattered(x, w, stride, padding, output_padding):
    """Equation (1), term by term."""
    batch, height, width, _ = x.shape
    size = w.shape[0]
    y = np.zeros(
        (
            batch,
            stride * (height - 1) + size + output_padding,
            stride * (width - 1) + size + output_padding,
            w.shape[2],
        )
    )
    for i in range(height):
        for j in range(width):
            block = np.einsum("bf,uvcf->buvc", x[:, i, j], w)
            y[:, stride * i : stride * i + size, stride * j : stride * j + size] += block
    return y[:, padding : y.shape[1] - padding, padding : y.shape[2] - padding]


@pytest.mark.parametrize("case", CASES)
def test_equals_its_equation(case):
    height, width, size, stride, padding, output_padding = case
    random = np.random.RandomState(0)
    x = random.randn(2, height, width, 3).astype(np.float32)
    w = random.randn(size, size, 4, 3).astype(np.float32)
    found = jax.jit(lambda x, w: conv_transpose(x, w, stride, padding, output_padding))(x, w)
    np.testing.assert_allclose(
        found, scattered(x, w, stride, padding, output_padding), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("by_product", [False, True])
@pytest.mark.parametrize("case", CASES[:4])
def test_gradient_is_that_of_the_equation(case, by_product, monkeypatch):
    monkeypatch.setattr(im2col, "wins_with_lax", lambda *shape: by_product)
    height, width, size, stride, padding, output_padding = case
    random = np.random.RandomState(0)
    x = random.randn(2, height, width, 3).astype(np.float32)
    w = random.randn(size, size, 4, 3).astype(np.float32)
    extra = (stride, padding, output_padding)
    g = random.randn(*scattered(x, w, *extra).shape).astype(np.float32)
    by_x, by_w = jax.jit(
        jax.grad(lambda x, w: (conv_transpose(x, w, *extra) * g).sum(), argnums=(0, 1))
    )(x, w)
    # ⟨g, y⟩ is linear in x and in w: its gradient by an entry is its value at that entry alone.
    for place in [(0, 0, 0, 0), (1, height - 1, width // 2, 2)]:
        one = np.zeros_like(x)
        one[place] = 1
        expected = (scattered(one, w, *extra) * g).sum()
        assert float(by_x[place]) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    for place in [(0, 0, 0, 0), (size - 1, size // 2, 3, 1)]:
        one = np.zeros_like(w)
        one[place] = 1
        expected = (scattered(x, one, *extra) * g).sum()
        assert float(by_w[place]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_transposes_the_convolution():
    """⟨conv(y), x⟩ = ⟨y, conv_transpose(x)⟩."""
    random = np.random.RandomState(0)
    y = jnp.asarray(random.randn(1, 8, 8, 2), jnp.float32)
    w = jnp.asarray(random.randn(4, 4, 2, 3), jnp.float32)
    convolved = jax.lax.conv_general_dilated(
        y, w, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jnp.asarray(random.randn(*convolved.shape), jnp.float32)
    left, right = (convolved * x).sum(), (y * conv_transpose(x, w, 2, 1)).sum()
    np.testing.assert_allclose(left, right, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "groups"),
    [
        (1, 1, "SAME", 1),
        (1, 1, "VALID", 1),
        (1, 2, "SAME", 1),
        (1, 1, [(1, 1)] * 2, 1),
        (1, 1, "SAME", 2),
        (3, 1, "SAME", 2),
        (3, 2, "VALID", 2),
        (3, 1, "SAME", 4),  # two kernels for each channel
        (3, 1, "SAME", 1),
    ],
)
def test_fast_convolution_is_laxs_forward_and_backward(size, stride, padding, groups):
    random = np.random.RandomState(0)
    x = random.randn(2, 5, 6, 4).astype(np.float32)
    w = random.randn(size, size, 4 // groups, 8).astype(np.float32)
    options = {
        "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
        "feature_group_count": groups,
        "lhs_dilation": (1, 1),
    }

    def value_and_gradients(convolve):
        def loss(x, w):
            y = convolve(x, w, (stride, stride), padding, **options)
            return jnp.sin(y).sum(), y

        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, w)

    found = value_and_gradients(conv_general_dilated)
    expected = value_and_gradients(jax.lax.conv_general_dilated)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(0, 1), (1, 0), (2, 0)]])
def test_volumes_are_convolved_as_lax_does_forward_and_backward(padding):
    random = np.random.RandomState(0)
    x = random.randn(2, 4, 6, 5, 3).astype(np.float32)
    w = random.randn(3, 3, 2, 3, 4).astype(np.float32)
    options = {"dimension_numbers": ("NDHWC", "DHWIO", "NDHWC")}

    def value_and_gradients(convolve):
        def loss(x, w):
            y = convolve(x, w, (1, 1, 1), padding, **options)
            return jnp.sin(y).sum(), y

        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, w)

    found = value_and_gradients(conv_general_dilated)
    expected = value_and_gradients(jax.lax.conv_general_dilated)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_few_groups_are_convolved_one_by_one():
    def convolve(channels, groups):
        x, w = jnp.ones((1, 4, 4, channels)), jnp.ones((3, 3, channels // groups, 2 * channels))
        options = {"feature_group_count": groups}
        return str(
            jax.make_jaxpr(lambda x, w: conv_general_dilated(x, w, (2, 2), "SAME", **options))(x, w)
        )

    assert convolve(8, 2).count("conv_general_dilated") == 2
    assert "feature_group_count=2" not in convolve(8, 2)
    assert "feature_group_count=64" in convolve(64, 64)


def test_one_pixel_kernels_are_products_of_matrices():
    jaxpr = str(
        jax.make_jaxpr(lambda x, w: conv_general_dilated(x, w, (1, 1), "SAME"))(
            jnp.ones((1, 2, 2, 3)), jnp.ones((1, 1, 3, 5))
        )
    )
    assert "dot_general" in jaxpr
    assert "conv" not in jaxpr


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (2, 5), (4, 3)])
def test_causal_convolution_equals_loops(taps, dilation):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 9, 3), dtype=np.float32)
    w = random.standard_normal((taps, 3, 4), dtype=np.float32)
    expected = np.zeros((2, 9, 4))
    for t in range(9):
        for j in range(taps):
            past = t - (taps - 1 - j) * dilation
            if past >= 0:
                expected[:, t] += x[:, past] @ w[j]
    found = causal_conv(jnp.asarray(x), jnp.asarray(w), dilation)
    np.testing.assert_allclose(found, expected, atol=1e-5)
