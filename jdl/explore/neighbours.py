"""The nearest images in feature space: what a network takes for alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from jdl.errors import UserError
from jdl.tasks.drawing import show_image

Features = Float[np.ndarray, "images features"]


def nearest_neighbours(
    queries: Float[np.ndarray, "queries features"], features: Features, count: int
) -> tuple[Int[np.ndarray, "queries count"], Float[np.ndarray, "queries count"]]:
    """Finds the vectors that each query is nearest to.

        d(q, y) = ‖q − y‖                                                           (1)

    Args:
        queries: q.
        features: y.
        count: how many to find.

    Returns:
        Their numbers, nearest first, and d.

    Raises:
        UserError: there are fewer.

    Example:
        >>> y = np.array([[0.0], [5.0], [2.0]])
        >>> where, distance = nearest_neighbours(np.array([[1.5]]), y, 2)
        >>> where.tolist(), distance.tolist()
        ([[2, 0]], [[0.5, 1.5]])

    Source: Krizhevsky et al., 2012, section 6.1.
    """
    if not 1 <= count <= len(features):
        raise UserError(f"{count} neighbours cannot be found among {len(features)} images")
    y = np.asarray(features, np.float64)
    where = []
    for q in np.asarray(queries, np.float64):
        # The queries' own squares are the same for all.
        where.append(np.argsort(np.square(y).sum(1) - 2 * y @ q, kind="stable")[:count])
    indices = np.stack(where)
    return indices, np.linalg.norm(queries[:, None] - y[indices], axis=-1)


def embed(
    look: Callable,
    images: Float[np.ndarray, "images height width channels"],
    batch: int = 100,
    advance: Callable[[], None] = lambda: None,
) -> Features:
    """Computes the features of many images, some at a time.

    Args:
        look: images → activations of one layer, of any shape; a `jax.tree_util.Partial`.
        images: in [0, 1].
        batch: at a time.
        advance: called after each image.

    Returns:
        A row for each image.

    Example:
        >>> from jax.tree_util import Partial
        >>> embed(Partial(lambda images: images.mean(1)), np.ones((3, 4, 4, 1), np.float32)).shape
        (3, 4)
    """
    compiled = jax.jit(lambda look, images: look(images))
    rows: list[np.ndarray] = []
    for i in range(0, len(images), batch):
        part = np.asarray(compiled(look, images[i : i + batch]))
        for row in part.reshape(len(part), -1):
            rows.append(row)
            advance()
    return np.stack(rows)


def neighbours_figure(
    queries: Float[np.ndarray, "queries height width channels"],
    spaces: Mapping[str, Sequence[Any] | np.ndarray],
) -> Figure:
    """Draws images, and beside each the nearest ones in several spaces.

    Args:
        queries: in [0, 1].
        spaces: title → for each query, its neighbours, nearest first.

    Returns:
        A row for each query.

    Example:
        >>> queries = np.zeros((2, 8, 8, 1))
        >>> figure = neighbours_figure(queries, {"of pixels": [queries[[0] * 5]] * 2})
        >>> len(figure.axes)
        12
    """
    counts = [1, *(len(found[0]) for found in spaces.values())]
    width = 0.9 * sum(counts) + 0.2 * len(spaces)
    figure = Figure(figsize=(width, 0.95 * len(queries) + 0.3), layout="constrained")
    # A gap between the images and their neighbours, and between spaces.
    ratios = [ratio for count in counts for ratio in [1.0] * count + [0.2]][:-1]
    grid = figure.add_gridspec(len(queries), len(ratios), width_ratios=ratios)
    for i, query in enumerate(queries):
        rows = {"": [query]} | {title: found[i] for title, found in spaces.items()}
        column = 0
        for title, images in rows.items():
            for place, image in enumerate(images, column):
                axes = figure.add_subplot(grid[i, place])
                show_image(axes, image)
                if i == 0 and place == column:
                    axes.set_title(title, fontsize=9, loc="left")
            column += len(images) + 1
    return figure
