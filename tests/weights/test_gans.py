"""GANs give the numbers of their authors' layers in torch: stored ones, and live."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.weights import from_names

from . import gan_reference as reference

GOLDEN = json.loads(reference.FILE.read_text())
cases = pytest.mark.parametrize("name", reference.MODELS)
sizes = pytest.mark.parametrize("which", [0, 1])
modes = pytest.mark.parametrize("train", [False, True])


def ours(name, train, which):
    model = reference.MODELS[name]
    variables = from_names(model, reference.random_state(name))
    apply = jax.jit(lambda v, x: model.apply(v, x, train=train, mutable=["batch_stats"])[0])
    y = np.asarray(apply(variables, jnp.asarray(reference.INPUTS[name][which])))
    # Where there is one logit, torch keeps its axes.
    return y.reshape(*y.shape, *(1,) * (4 - y.ndim))


@cases
@modes
@sizes
def test_answers_are_the_stored_ones(name, train, which):
    found = ours(name, train, which)[:, -1].ravel()[:32]
    np.testing.assert_allclose(found, GOLDEN[f"{name} {train} {which}"], rtol=0, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@cases
@modes
@sizes
def test_answers_are_torchs(name, train, which):
    np.testing.assert_allclose(
        ours(name, train, which), reference.answer(name, train, which), rtol=0, atol=1e-5
    )
