import re

import jax
import jax.numpy as jnp
import pytest

from jdl.explore.macs import count_macs


def count(function, *inputs):
    return count_macs(jax.make_jaxpr(function)(*inputs).jaxpr)[""]


def convolution(image, kernel, padding, **options):
    options = {"window_strides": (1, 1), **options}
    return count(
        lambda x, w: jax.lax.conv_general_dilated(
            x, w, padding=padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
        ),
        jnp.zeros(image),
        jnp.zeros(kernel),
    )


def test_convolutions_by_hand():
    assert convolution((1, 8, 8, 3), (3, 3, 3, 5), "SAME") == 8 * 8 * 9 * 3 * 5
    assert convolution((2, 8, 8, 3), (3, 3, 3, 5), "VALID") == 2 * 6 * 6 * 9 * 3 * 5
    strided = convolution((1, 8, 8, 3), (3, 3, 3, 5), [(0, 1), (0, 1)], window_strides=(2, 2))
    assert strided == 4 * 4 * 9 * 3 * 5
    grouped = convolution((1, 8, 8, 4), (3, 3, 2, 6), "SAME", feature_group_count=2)
    assert grouped == 8 * 8 * 9 * 2 * 6
    depthwise = convolution((1, 8, 8, 4), (3, 3, 1, 4), "SAME", feature_group_count=4)
    assert depthwise == 8 * 8 * 9 * 4
    dilated = convolution((1, 8, 8, 3), (3, 3, 3, 5), "VALID", rhs_dilation=(2, 2))
    assert dilated == 4 * 4 * 9 * 3 * 5


def test_transposed_convolution_counts_each_pixel_once_per_tap():
    doubled = convolution((1, 8, 8, 3), (4, 4, 3, 5), [(2, 2)] * 2, lhs_dilation=(2, 2))
    assert doubled == 8 * 8 * 16 * 3 * 5
    projected = convolution((1, 1, 1, 3), (4, 4, 3, 5), [(3, 3)] * 2)
    assert projected == 16 * 3 * 5


def test_products_by_hand():
    assert count(jnp.dot, jnp.zeros((2, 3)), jnp.zeros((3, 5))) == 30
    scores = count(
        lambda q, k: jnp.einsum("bqhd,bkhd->bhqk", q, k),
        jnp.zeros((2, 7, 3, 4)),
        jnp.zeros((2, 9, 3, 4)),
    )
    assert scores == 2 * 3 * 7 * 9 * 4


def test_loops_branches_and_calls():
    w = jnp.zeros((4, 4))
    scanned = count(lambda x: jax.lax.scan(lambda h, _: (h @ w, None), x, None, 6)[0], w)
    assert scanned == 6 * 64
    branched = count(lambda p, x: jax.lax.cond(p, lambda x: x @ w @ w, lambda x: x @ w, x), True, w)
    assert branched == 2 * 64
    assert count(jax.jit(jax.checkpoint(lambda x: x @ w)), w) == 64
    assert count(lambda x: x + jnp.tanh(x), w) == 0


def test_innermost_scope_gets_the_count_also_inside_calls():
    def network(x):
        with jax.named_scope("<a>"):
            x = x @ x
            with jax.named_scope("<b>"):
                x = jax.jit(lambda x: x @ x @ x)(x)
        return x @ x

    counts = count_macs(jax.make_jaxpr(network)(jnp.zeros((2, 2))).jaxpr, re.compile("<.>"))
    assert counts == {"<a>": 8, "<b>": 16, "": 8}


@pytest.mark.parametrize("length", [1, 5])
def test_scope_inside_a_scan_is_counted_each_time(length):
    def body(x, _):
        with jax.named_scope("<a>"):
            return x @ x, None

    jaxpr = jax.make_jaxpr(lambda x: jax.lax.scan(body, x, None, length))(jnp.zeros((2, 2)))
    assert count_macs(jaxpr.jaxpr, re.compile("<.>")) == {"<a>": 8 * length}
