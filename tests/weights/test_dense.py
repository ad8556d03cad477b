"""Dense networks give the numbers of the same layers in torch: stored ones, and live."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.weights import from_names, load_weights

from . import dense_reference as reference

GOLDEN = json.loads(reference.FILE.read_text())
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")


def test_every_network_has_stored_answers():
    assert set(GOLDEN) == set(reference.MODELS)


@pytest.mark.parametrize("name", reference.MODELS)
def test_answers_are_torchs(name):
    model = reference.MODELS[name]
    variables = from_names(model, reference.random_state(name))
    for which, (height, width) in enumerate(reference.sizes(name)):
        images = jnp.asarray(reference.images(name, which))
        found = np.asarray(jax.jit(model.apply)(variables, images))
        # Of what the two images' answers differ in.
        tolerance = 1e-4 * abs(found[0] - found[1]).max()
        stored = GOLDEN[name][f"{height}x{width}"]
        np.testing.assert_allclose(reference.few(found), stored, rtol=0, atol=tolerance)
        if importlib.util.find_spec("torch"):
            expected = reference.answer(name, which)
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["swinir_denoise_grey", "swinir_jpeg"])
def test_what_is_added_to_the_image_shows(name):
    images, stored = reference.images(name, 0), GOLDEN[name]["24x16"]
    difference = np.array(stored) - reference.few(images)
    assert abs(difference).max() > 0.01


@needs_torch
@pytest.mark.parametrize("name", reference.MODELS)
def test_names_and_shapes_in_full_size(name):
    import torch

    model = jdl.create_model(name)
    with torch.device("meta"):
        network = reference.network_of(model)
    assert reference.shapes(model) == reference.reference.shapes_of(network)


@needs_torch
def test_swinirs_are_read_from_their_published_files(tmp_path):
    """Wrapped, with the constants that their modules keep."""
    import torch

    model, state = reference.MODELS["swinir_light_x2"], reference.random_state("swinir_light_x2")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    for block in ("layers.0.residual_group.blocks.0", "layers.1.residual_group.blocks.1"):
        tensors[f"{block}.attn.relative_position_index"] = torch.zeros(64, 64, dtype=torch.int64)
        tensors[f"{block}.attn_mask"] = torch.zeros(64, 64, 64)
    torch.save({"params": tensors}, tmp_path / "swinir.pth")
    loaded = load_weights(model, tmp_path / "swinir.pth")
    expected = from_names(model, state)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), loaded, expected))


def test_the_kernels_that_enlarge_are_not_read():
    model, state = reference.MODELS["fcn8s"], reference.random_state("fcn8s")
    names = ("upscore2", "upscore_pool4", "upscore8")
    fixed = {f"{name}.weight": np.zeros((4, 4, 4, 4), np.float32) for name in names}
    assert set(from_names(model, state | fixed)["params"]) == set(
        from_names(model, state)["params"]
    )


def test_auxiliary_heads_of_torchvision_are_not_read():
    model = jdl.create_model("fcn_resnet50", stage_sizes=(1, 1, 1, 1), features=2)
    shapes = reference.shapes(model)
    state = reference.reference.random_state(shapes)
    auxiliary = {"aux_classifier.0.weight": np.zeros((1, 2, 3, 3), np.float32)}
    loaded = from_names(model, state | auxiliary)
    assert set(loaded["params"]) == {"backbone", "classifier.0", "classifier.1", "classifier.4"}
