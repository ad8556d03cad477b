import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jdl.ops.perceptron import mcculloch_pitts, rosenblatt


@given(seed=st.integers(0, 10_000))
def test_no_more_mistakes_than_novikoff_allows(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((32, 2))
    plane = rng.standard_normal(3)
    margin = x @ plane[:2] + plane[2]
    far = np.abs(margin) > 0.3
    # A fixed shape: points that are too near are replaced by the farthest one.
    x = np.where(far[:, None], x, x[np.abs(margin).argmax()])
    margin = x @ plane[:2] + plane[2]
    labels = np.sign(margin).astype(int)

    weights, bias, mistakes = rosenblatt(jnp.asarray(x, jnp.float32), jnp.asarray(labels), 400)
    longest = np.sqrt((x**2).sum(1) + 1).max()
    distance = np.abs(margin).min() / np.linalg.norm(plane)
    assert mistakes <= (longest / distance) ** 2
    if (longest / distance) ** 2 < 400:  # else the bound does not promise that it has converged
        assert (jnp.sign(x @ weights + bias) == labels).all()


def test_inhibition_is_absolute():
    excited = jnp.array([[True, True, True]])
    assert mcculloch_pitts(excited, jnp.array([[False]]), 3).tolist() == [True]
    assert mcculloch_pitts(excited, jnp.array([[True]]), 1).tolist() == [False]
