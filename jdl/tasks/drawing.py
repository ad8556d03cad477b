"""Figures that several tasks draw: grids of images and matrices of confusions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def show_image(axes: Axes, image: np.ndarray, signed: bool = False) -> None:
    """Shows one image without axes: grey, colour, or signed values around a white zero.

    Args:
        axes: where.
        image: [height, width, channels] in [0, 1], or signed.
        signed: red for positive, blue for negative.
    """
    axes.axis("off")
    if signed:
        limit = max(float(np.abs(image).max()), 1e-9)
        grey = image.mean(-1)
        axes.imshow(grey, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    elif image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(np.clip(image, 0, 1), interpolation="nearest")


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
        >>> len(image_grid(np.zeros((6, 4, 4, 1), np.float32), columns=3).axes)
        6
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    # All cells are alike, so that they can be placed without a layout engine, which would take
    # seconds for a hundred of them. Inches:
    width = 1.15 if titles else 0.8
    height = width * images.shape[1] / images.shape[2]
    pitch = height + (0.2 if titles else 0)
    total = np.array([columns * width, rows * pitch + (0.35 if title else 0)])
    total[0] = max(total[0], 0.08 * len(title))  # a title may be wider than its images
    left = (total[0] - columns * width) / 2
    figure = Figure(figsize=(total[0], total[1]))
    if title:
        figure.text(0.5, 1 - 0.18 / total[1], title, fontsize=10, ha="center", va="center")
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        corner = np.array(
            [left + (column + 0.04) * width, (rows - 1 - row) * pitch + 0.04 * height]
        )
        axes = figure.add_axes((*corner / total, *np.array([0.92 * width, 0.92 * height]) / total))
        show_image(axes, image, signed)
        if titles:
            axes.set_title(titles[i], fontsize=7, pad=2)
    return figure


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
