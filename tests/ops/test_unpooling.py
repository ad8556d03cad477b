import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jdl.ops.pooling import max_pool
from jdl.ops.unpooling import max_pool_with_switches, unpool
from tests.ops.test_pooling import CASES, images_with_ties

UNPADDED = [case[:4] for case in CASES if not case[4]]


@pytest.mark.parametrize("case", UNPADDED)
def test_switches_are_torchs(case):
    torch = pytest.importorskip("torch")
    height, width, window, stride = case
    images = images_with_ties(height, width)
    theirs = torch.from_numpy(np.array(images).transpose(0, 3, 1, 2))
    pooled = torch.nn.functional.max_pool2d(theirs, window, stride, return_indices=True)
    found = jax.jit(max_pool_with_switches, static_argnums=(1, 2))(images, window, stride)
    for ours, expected in zip(found, pooled, strict=True):
        np.testing.assert_array_equal(ours, expected.numpy().transpose(0, 2, 3, 1))
    expected = torch.nn.functional.max_unpool2d(
        *pooled, window, stride, output_size=(height, width)
    )
    ours = jax.jit(unpool, static_argnums=(2, 3))(*found, height, width)
    np.testing.assert_array_equal(ours, expected.numpy().transpose(0, 2, 3, 1))


def test_switches_change_no_gradient():
    images = images_with_ties(9, 7)
    weigh = lambda y: (y * jnp.arange(float(y.size)).reshape(y.shape)).sum()
    found = jax.grad(lambda x: weigh(max_pool_with_switches(x, 3, 2)[0]))(images)
    np.testing.assert_array_equal(found, jax.grad(lambda x: weigh(max_pool(x, 3, 2)))(images))


@pytest.mark.parametrize("case", UNPADDED)
def test_unpooling_is_differentiable(case):
    height, width, window, stride = case
    images = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    maxima, switches = max_pool_with_switches(images, window, stride)
    weights = jax.random.normal(jax.random.key(1), images.shape)
    found = jax.grad(lambda y: (unpool(y, switches, height, width) * weights).sum())(maxima)
    # What a value is put to weighs it; where several were put to one pixel, all but one are lost.
    at_switches = jnp.take_along_axis(
        weights.reshape(2, -1, 3), switches.reshape(2, -1, 3), axis=1
    ).reshape(maxima.shape)
    lost = found != at_switches
    assert not found[lost].any()
    assert lost.any() == (window > stride)
    # Moving the values moves the image as the gradient says.
    put = lambda y: unpool(jnp.asarray(y), switches, height, width)
    check_grads(put, (maxima,), order=1, atol=0.01, rtol=0.01)


def test_unpooling_undoes_pooling_where_the_maxima_were():
    images = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    again = unpool(*max_pool_with_switches(images), 9, 8)
    assert int((again != 0).sum()) == 2 * 4 * 4 * 3
    np.testing.assert_array_equal(again[again != 0], images[again != 0])
    np.testing.assert_array_equal(max_pool(jnp.where(again != 0, images, -9)), max_pool(images))
