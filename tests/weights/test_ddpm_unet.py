"""DDPM's U-Nets give diffusers' numbers: stored ones, and its own where it is installed.

python -m tests.weights.test_ddpm_unet   stores diffusers' answers for those without it.
"""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.models.references import diffusers_unet, torch_network
from jdl.weights import from_names, to_names

from . import reference

FILE = Path(__file__).parent / "golden_ddpm_unet.json"
needs_diffusers = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None, reason="needs diffusers"
)
TIMES = np.array([3.0, 981.0], np.float32)
# The six levels with fewer channels, on smaller images.
SMALL = {"channels": 16, "num_groups": 4}
CASES = {
    "ddpm_cifar10": (
        "ddpm_cifar10",
        {},
        [(32, 32), (32, 40)],
        lambda: torch_network("diffusers:google/ddpm-cifar10-32"),
    ),
    "six levels": (
        "ddpm_256",
        SMALL,
        [(64, 64), (64, 96)],
        lambda: diffusers_unet((16, 16, 32, 32, 64, 64), 4),
    ),
}


def made(case):
    """The network, and weights by diffusers' names that anyone can draw again."""
    name, options, sizes, _ = CASES[case]
    model = jdl.create_model(name, **options)
    variables = jax.eval_shape(
        model.init, jax.random.key(0), jnp.zeros((1, *sizes[0], 3)), jnp.zeros(1)
    )
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    names = {name: array.shape for name, array in to_names(empty).items()}
    return model, reference.random_state(names, gain=1.0)


def theirs(case, state, size):
    import torch

    network = CASES[case][3]()
    reference.fill(network, state)
    images = torch.from_numpy(reference.random_images(*size).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        return network(images, torch.from_numpy(TIMES)).sample.numpy().transpose(0, 2, 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_predictions_are_diffusers(case):
    model, state = made(case)
    variables, apply = from_names(model, state), jax.jit(model.apply)
    stored = json.loads(FILE.read_text())[case]
    for height, width in CASES[case][2]:
        images = jnp.asarray(reference.random_images(height, width))
        found = np.asarray(apply(variables, images, jnp.asarray(TIMES)))
        expected = np.array(stored[f"{height}x{width}"])
        tolerance = 1e-4 * abs(expected[0] - expected[1]).max()
        assert tolerance > 1e-5 * abs(expected).max()  # the two images are answered differently
        np.testing.assert_allclose(found[:, ::8, ::8], expected, rtol=0, atol=tolerance)
        if importlib.util.find_spec("diffusers"):
            np.testing.assert_allclose(
                found, theirs(case, state, (height, width)), rtol=0, atol=tolerance
            )


@needs_diffusers
@pytest.mark.parametrize("name", ["ddpm_cifar10", "ddpm_256"])
def test_names_and_shapes_are_diffusers(name):
    import torch

    info = jdl.model_info(name)
    with torch.device("meta"):
        network = torch_network(info.reference)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(jdl.create_model(name).init, key, *info.example)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    ours = {name: array.shape for name, array in to_names(empty).items()}
    assert ours == reference.shapes_of(network)


if __name__ == "__main__":
    golden = {}
    for case, (_, _, sizes, _) in CASES.items():
        state = made(case)[1]
        golden[case] = {
            f"{height}x{width}": np.round(
                theirs(case, state, (height, width))[:, ::8, ::8].astype(float), 6
            ).tolist()
            for height, width in sizes
        }
    FILE.write_text(json.dumps(golden) + "\n")
