import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.models.references import declare_operators
from jdl.ops.pooling import global_pool
from jdl.weights import from_names

torch = pytest.importorskip("torch")
declare_operators()


@pytest.mark.parametrize("kind", ["avg", "max", "avgmax"])
def test_global_pool_is_timms(kind):
    SelectAdaptivePool2d = pytest.importorskip("timm.layers").SelectAdaptivePool2d
    x = np.random.RandomState(0).standard_normal((2, 5, 7, 3)).astype(np.float32)
    pool = SelectAdaptivePool2d(pool_type=kind, flatten=True)
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    y = pool(theirs)
    ours, pullback = jax.vjp(lambda x: global_pool(x, kind), jnp.asarray(x))
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-5, atol=1e-6)
    y.square().sum().backward()
    gradient = theirs.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pullback(2 * ours)[0], gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["avg", "max", "avgmax"])
def test_a_network_pools_as_timms(kind):
    create_model = pytest.importorskip("timm").create_model
    torch.manual_seed(0)
    theirs = create_model("resnet18", global_pool=kind).eval()
    names = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    ours = jdl.create_model("resnet18", global_pool=kind)
    images = np.random.RandomState(0).standard_normal((2, 75, 64, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    y = jax.jit(ours.apply)(from_names(ours, names), jnp.asarray(images))
    apart = abs(expected[0] - expected[1]).max()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * apart)
