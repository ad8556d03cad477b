"""Every network with a reference gives the reference's numbers.

The weights are drawn by name (`reference.py`), so that stored answers protect those without torch;
where torch is there, the references are asked themselves.
"""

import importlib.util
import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.models.references import torch_network
from jdl.weights import from_names, to_names

from . import reference

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
LIBRARIES = ("torchvision", "timm")
NAMES = [
    name
    for name in jdl.list_models()
    if (jdl.model_info(name).reference or "").partition(":")[0] in LIBRARIES
]
HAVE_TORCH = all(importlib.util.find_spec(m) for m in ("torch", "torchvision", "timm"))
needs_torch = pytest.mark.skipif(not HAVE_TORCH, reason="needs torch, torchvision and timm")


@cache
def answers(name):
    """The network here, compiled in a hurry: a compilation takes seconds, and runs only once."""
    model = jdl.create_model(name)
    hurry = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return model, jax.jit(model.apply, compiler_options=hurry)


def logits(name, variables, images):
    _, apply = answers(name)
    return np.asarray(apply(variables, jnp.asarray(images)))


@cache
def shapes(name):
    """Names and shapes as the reference would have them, from the model here."""
    info = jdl.model_info(name)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(jdl.create_model(name).init, key, *info.example)
    # Zero bytes for each array: only shapes are wanted.
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return {name: array.shape for name, array in to_names(empty).items()}


def apart(answers):
    """By how much the answers to the first two images differ."""
    return abs(answers[0] - answers[1]).max()


def test_every_reference_has_stored_answers():
    assert set(GOLDEN) == set(NAMES)
    answers = [answer for sizes in GOLDEN.values() for answer in sizes.values()]
    assert all(answer["apart"] > 1e-2 * answer["largest"] for answer in answers)


@pytest.fixture
def undrawn(monkeypatch):
    """Torch's networks without first weights, which take seconds to draw, and would be replaced."""
    if HAVE_TORCH:
        import torch

        for draw in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "trunc_normal_"):
            monkeypatch.setattr(torch.nn.init, draw, lambda tensor, *_, **__: tensor)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_references(name, undrawn):
    state = reference.random_state(shapes(name), reference.GAINS.get(name, reference.HE_GAIN))
    theirs = None
    if HAVE_TORCH:
        theirs = torch_network(jdl.model_info(name).reference)
        reference.fill(theirs, reference.by_their_names(name, theirs, state))
    variables = from_names(jdl.create_model(name), state)
    del state
    for size, stored in GOLDEN[name].items():
        images = reference.random_images(*map(int, size.split("x")))
        y = logits(name, variables, images)
        # Of what the two images' answers differ in, not of what all images' answers share.
        tolerance = 1e-4 * stored["apart"]
        np.testing.assert_allclose(reference.few(y), stored["first"], rtol=0, atol=tolerance)
        if theirs is not None:
            np.testing.assert_allclose(y, reference.answer(theirs, images), rtol=0, atol=tolerance)


@needs_torch
@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_references(name):
    import torch

    with torch.device("meta"):
        model = torch_network(jdl.model_info(name).reference)
    theirs = {name: shape for name, shape in reference.shapes_of(model).items()}
    if jdl.model_info(name).reference.startswith("torchvision"):
        assert shapes(name) == theirs
    else:  # timm has names of its own: as many arrays, of the same sizes
        sizes = lambda table: sorted(np.prod(shape) for shape in table.values())
        assert sizes(shapes(name)) == sizes(theirs)


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18"])
def test_training_updates_the_statistics_as_torch_does(name):
    import torch

    model = torch_network(jdl.model_info(name).reference)
    state = reference.random_state(reference.shapes_of(model))
    reference.fill(model, state)
    images = reference.random_images(65, 64, batch=3)
    expected = reference.answer(model.train(), images)
    variables = from_names(jdl.create_model(name), state)
    y, updates = jdl.create_model(name).apply(
        variables, jnp.asarray(images), train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * apart(expected))
    after = to_names({**variables, **updates})
    theirs = {k: v.numpy() for k, v in model.state_dict().items() if "running" in k}
    assert theirs
    for key, array in theirs.items():
        np.testing.assert_allclose(after[key], array, rtol=1e-4, atol=1e-5, err_msg=key)
        assert not torch.equal(torch.from_numpy(array), torch.from_numpy(state[key]))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18"])
def test_torch_loads_our_file(name, tmp_path):
    import torch

    model = jdl.create_model(name)
    state = reference.random_state(shapes(name))
    variables = from_names(model, state)
    jdl.save_weights(model, variables, tmp_path / "ours.pth")
    theirs = torch_network(jdl.model_info(name).reference)
    theirs.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))
    images = reference.random_images(64, 64)
    expected = reference.answer(theirs, images)
    found = logits(name, variables, images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * apart(expected))
    again = jdl.load_weights(name, tmp_path / "ours.pth")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, again))
