"""Networks with weights that anyone can make again, and the reference's answer to them.

Weights are drawn by a generator that is seeded with the parameter's name, so that the reference and
jdl get the same ones and none need be stored.
"""

import zlib
from collections.abc import Mapping

import numpy as np

import jdl
from jdl.weights.dialects import to_own_names

# He's gain: with less, what images differ in is lost on the way through many layers. The deepest
# EfficientNets are chaotic with it: B7 multiplies a change of the images by 30,000. The deepest
# ResNets would double the variance in each block, and torch's own rounding be 9e-5 of its answer.
HE_GAIN = 2**0.5
GAINS = {"efficientnet_b5": 1.35, "efficientnet_b6": 1.3, "efficientnet_b7": 1.28}
GAINS |= dict.fromkeys(("resnet101", "resnet152", "fcn_resnet101"), 1.0)


def random_state(
    shapes: Mapping[str, tuple[int, ...]], gain: float = HE_GAIN
) -> dict[str, np.ndarray]:
    """Draws weights by name, in torch's layout, so that activations neither vanish nor explode."""
    state = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        leaf = name.rpartition(".")[2]
        if leaf == "running_var":
            array = rng.uniform(0.5, 1.5, shape)
        elif leaf == "running_mean" or (len(shape) == 1 and leaf != "weight"):
            array = 0.1 * rng.standard_normal(shape)
        elif len(shape) == 1:
            array = rng.uniform(0.8, 1.2, shape)
        else:
            deviation = gain * np.prod(shape[1:]) ** -0.5
            array = rng.standard_normal(shape, dtype=np.float32) * deviation
        state[name] = np.asarray(array, np.float32)
    return state


def random_images(height: int, width: int, channels: int = 3, batch: int = 2) -> np.ndarray:
    """Draws images, NHWC."""
    shape = (batch, height, width, channels)
    return np.random.default_rng(height * width).standard_normal(shape, dtype=np.float32)


def fill(model, state: Mapping[str, np.ndarray]) -> None:
    """Loads weights into a torch network; every name must fit."""
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected, unexpected
    assert all(
        name.endswith(("num_batches_tracked", "relative_position_index")) for name in missing
    )


def by_their_names(name: str, model, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights that were drawn for our names, by the reference's own names."""
    theirs = list(shapes_of(model))
    numbered = {key: np.array(i) for i, key in enumerate(theirs)}
    own = to_own_names(jdl.create_model(name), numbered, dict.fromkeys(state))
    return {theirs[int(own[key])]: array for key, array in state.items()}


def shapes_of(model) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a torch network's weights and running statistics."""
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }


def answer(model, images: np.ndarray) -> np.ndarray:
    """The torch network's logits of NHWC images, classes last."""
    import torch

    with torch.no_grad():
        y = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return np.moveaxis(y.numpy(), 1, -1)


def few(logits: np.ndarray) -> np.ndarray:
    """Some of the logits, to be stored: of the first classes, and of pixels here and there."""
    return (logits[:, ::32, ::32, :4] if logits.ndim == 4 else logits[:, :16]).ravel()
