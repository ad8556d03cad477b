import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.normalization import local_response_norm


def by_the_formula(x, size, alpha, beta, k):
    y = np.empty_like(x)
    channels = x.shape[-1]
    for i in range(channels):
        low, high = max(0, i - size // 2), min(channels - 1, i + (size - 1) // 2)
        energy = np.square(x[..., low : high + 1]).sum(-1)
        y[..., i] = x[..., i] / (k + alpha / size * energy) ** beta
    return y


@pytest.mark.parametrize(("size", "channels"), [(5, 8), (4, 7), (5, 3), (1, 2)])
def test_equals_the_formula(size, channels):
    x = np.random.default_rng(0).standard_normal((2, 3, 3, channels)).astype(np.float32)
    y = local_response_norm(jnp.asarray(x), size, 0.5, 0.75, 1.5)
    np.testing.assert_allclose(y, by_the_formula(x, size, 0.5, 0.75, 1.5), rtol=1e-5)


@pytest.mark.parametrize("size", [5, 4])
def test_equals_torch(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 9)).astype(np.float32)
    reference = torch.nn.LocalResponseNorm(size, 0.3, 0.75, 2.0)
    y = reference(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(local_response_norm(jnp.asarray(x), size, 0.3), y, rtol=1e-5)


def test_gradient_is_finite_at_zero():
    gradient = jax.grad(lambda x: local_response_norm(x).sum())(jnp.zeros((1, 6)))
    np.testing.assert_allclose(gradient, 2.0**-0.75, rtol=1e-6)
