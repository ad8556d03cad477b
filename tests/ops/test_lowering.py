import jax
import jax.numpy as jnp
import pytest

from jdl.ops.convolution import conv_general_dilated
from jdl.ops.lowering import is_for_cpu, is_plain, plain_lowerings
from jdl.ops.pooling import max_pool


def fail():
    assert is_plain()
    assert not is_for_cpu()
    raise KeyError


def test_it_ends_with_the_block_even_by_an_error():
    with pytest.raises(KeyError), plain_lowerings():
        fail()
    assert not is_plain()


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_plain_convolutions_are_laxs(size, stride):
    x, w = jnp.ones((2, 32, 32, 128)), jnp.ones((size, size, 128, 128))

    def convolve(x, w):
        return conv_general_dilated(x, w, (stride, stride), [(size // 2,) * 2] * 2)

    assert "conv_general_dilated" not in str(jax.make_jaxpr(convolve)(x, w))
    with plain_lowerings():
        assert "conv_general_dilated" in str(jax.make_jaxpr(lambda *a: convolve(*a))(x, w))


def test_plain_pooling_is_laxs_and_the_same():
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
    expected = max_pool(x, 3, stride=2, padding=1)
    with plain_lowerings():
        assert "reduce_window" in str(jax.make_jaxpr(lambda x: max_pool(x, 3, 2, 1))(x))
        assert (max_pool(x, 3, stride=2, padding=1) == expected).all()
