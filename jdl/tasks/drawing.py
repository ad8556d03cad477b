"""Figures that several tasks draw: grids of images, matrices of confusions, alignments."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def show_image(axes: Axes, image: np.ndarray, signed: bool = False, **where: Any) -> None:
    """Shows one image without axes: grey, colour, or signed values around a white zero.

    Args:
        axes: to draw on.
        image: [height, width, channels] in [0, 1], or signed.
        signed: red for positive, blue for negative.
        where: `extent` and `aspect`, as matplotlib has them.
    """
    axes.axis("off")
    if signed:
        limit = max(float(np.abs(image).max()), 1e-9)
        colours: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        axes.imshow(image.mean(-1), interpolation="nearest", **colours, **where)
    elif image.shape[-1] == 1:
        colours = {"cmap": "gray", "vmin": 0, "vmax": 1}
        axes.imshow(image[..., 0], interpolation="nearest", **colours, **where)
    else:
        axes.imshow(np.clip(image, 0, 1), interpolation="nearest", **where)


def image_grid(
    images: Float[np.ndarray, "count height width channels"],
    columns: int = 10,
    titles: Sequence[str] = (),
    signed: bool = False,
    title: str = "",
) -> Figure:
    """Lays images out in rows.

    Args:
        images: in [0, 1], or signed.
        columns: images in a row.
        titles: one above each image; none when empty.
        signed: draw red for positive and blue for negative.
        title: above them all.

    Returns:
        The figure.

    Example:
        >>> figure = image_grid(np.zeros((6, 4, 4, 1), np.float32), columns=3)
        >>> len(figure.axes[0].images)
        6
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    # In inches, on axes as large as the figure: a hundred axes, one for each image, take seconds.
    cell = 1.15 if titles else 0.8
    height = cell * images.shape[1] / images.shape[2]
    pitch = height + (0.2 if titles else 0)
    # A title may be wider than its images.
    width = max(columns * cell, 0.08 * len(title))
    total = rows * pitch + (0.35 if title else 0)
    figure = Figure(figsize=(width, total))
    axes = figure.add_axes((0, 0, 1, 1))
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        x = (width - columns * cell) / 2 + column * cell
        y = (rows - 1 - row) * pitch
        extent = (x + 0.04 * cell, x + 0.96 * cell, y + 0.04 * height, y + 0.96 * height)
        show_image(axes, image, signed, extent=extent, aspect="auto")
        if titles:
            axes.text(x + cell / 2, y + height, titles[i], fontsize=7, ha="center", va="bottom")
    if title:
        axes.text(width / 2, total - 0.18, title, fontsize=10, ha="center", va="center")
    axes.set(xlim=(0, width), ylim=(0, total))
    return figure


def stills(examples: np.ndarray) -> Float[np.ndarray, "count height width channels"]:
    """Makes one image of each video, in which things leave a trail: the later, the brighter.

    Args:
        examples: [count, time, height, width, channels] in [0, 1]; images are left as they are.

    Example:
        >>> video = np.eye(2, dtype=np.float32).reshape(1, 2, 1, 2, 1)  # a dot moves to the right
        >>> stills(video).ravel().tolist()
        [0.5, 1.0]
    """
    if examples.ndim == 4:
        return examples
    shares = np.arange(1, examples.shape[1] + 1, dtype=np.float32) / examples.shape[1]
    return (examples * shares[None, :, None, None, None]).max(1)


def first_filters(params: PyTree, shape: Sequence[int], most: int = 64) -> np.ndarray | None:
    """Finds the kernels that see the images themselves, as images.

    Args:
        params: of a network.
        shape: of its images. A dense first layer has one template as large as the image a unit.
        most: how many to return.

    Returns:
        The kernels, or None: the network begins with neither, or takes something else.

    Example:
        >>> kernel, templates = np.zeros((5, 5, 1, 6)), np.zeros((784, 10))
        >>> first_filters({"kernel": kernel}, (28, 28, 1)).shape
        (6, 5, 5, 1)
        >>> first_filters({"kernel": templates}, (28, 28, 1)).shape
        (10, 28, 28, 1)
    """
    for kernel in jax.tree.leaves(params):
        if kernel.ndim == 4 and kernel.shape[2] == shape[-1]:
            return np.moveaxis(kernel, -1, 0)[:most]
        if len(shape) == 3 and kernel.ndim == 2 and kernel.shape[0] == np.prod(shape):
            return kernel.T.reshape(-1, *shape)[:most]
    return None


def confusion_matrix(counts: Int[np.ndarray, "classes classes"], names: Sequence[str]) -> Figure:
    """Draws how often each class was taken for each other.

    Args:
        counts: [truth, prediction].
        names: of the classes.

    Returns:
        The figure.

    Example:
        >>> figure = confusion_matrix(np.eye(2, dtype=int), ["cat", "dog"])
        >>> figure.axes[0].get_xlabel()
        'prediction'
    """
    size = 1.5 + 0.42 * len(names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # The diagonal would drown the errors, which are what one looks for.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[i, j] > 0.4 else "black"
            axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    axes.set(
        xticks=range(len(names)),
        yticks=range(len(names)),
        xticklabels=names,
        yticklabels=names,
        xlabel="prediction",
        ylabel="truth",
        title=f"{counts.sum()} examples, accuracy {accuracy:.1%}",
    )
    axes.tick_params(axis="x", rotation=90 if max(map(len, names)) > 2 else 0)
    return figure


def alignment_figure(
    examples: Sequence[tuple[Sequence[str], Sequence[str], Float[np.ndarray, "time source"]]],
    columns: int = 4,
) -> Figure:
    """Draws how much each symbol that was written looked at each that was read.

    Args:
        examples: the source's symbols, the target's, and the weights of attention, which may go on
            after both.
        columns: pictures side by side.

    Returns:
        The figure: sources along the top, targets down the side.

    Example:
        >>> figure = alignment_figure([("ab", ["A", "B"], np.eye(3))])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['a', 'b']
    """
    rows = -(-len(examples) // columns)
    tallest = max(len(target) for _, target, _ in examples)
    figure = Figure(figsize=(3.2 * columns, (0.6 + 0.22 * (tallest + 1)) * rows))
    for place, (source, target, weights) in enumerate(examples, start=1):
        axes = figure.add_subplot(rows, columns, place)
        # The last row is the end's.
        axes.imshow(weights[: len(target) + 1, : len(source)], cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(source)), source)
        axes.set_yticks(range(len(target) + 1), [*target, "∎"])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=8)
    figure.tight_layout()
    return figure
