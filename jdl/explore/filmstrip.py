"""First-layer filters over the course of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib import colormaps
from matplotlib.figure import Figure

from jdl.data.loaders import Loader
from jdl.errors import UserError
from jdl.tasks.drawing import first_filters
from jdl.train.task import Task

Filters = Float[np.ndarray, "filters height width channels"]


def watch_first_filters(
    task: Task, loader: Loader, steps: Sequence[int], key: Key[Array, ""]
) -> dict[int, Filters]:
    """Trains a network, and keeps its first filters as they are after some of the steps.

    Args:
        task: whose state has "params".
        loader: of batches with "image".
        steps: when to look; training ends with the last of them.
        key: of the initialisation and of what training draws.

    Returns:
        Filters by the step, earliest first.

    Raises:
        UserError: the network begins with no filters that see the images.

    Example:
        >>> import flax.linen as nn, optax
        >>> from jdl.data import InMemoryLoader
        >>> from jdl.tasks.classification import Classification
        >>> class Means(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, images, *, train=False):
        ...         return nn.Conv(2, (3, 3))(images).mean((1, 2))
        >>> images = np.zeros((4, 5, 5, 1), np.float32)
        >>> loader = InMemoryLoader({"image": images, "label": np.arange(4) % 2}, batch_size=2)
        >>> task = Classification(Means(), optax.sgd(0.1), num_classes=2)
        >>> seen = watch_first_filters(task, loader, [0, 3], jax.random.key(0))
        >>> {step: filters.shape for step, filters in seen.items()}
        {0: (2, 3, 3, 1), 3: (2, 3, 3, 1)}

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 4 and Figure 4, who
    watch what all layers answer to.
    """
    batches = loader.train_batches()
    batch = next(batches)
    draws, start = jax.random.split(key)
    state: Any = jax.jit(task.init)(start, batch)
    advance = jax.jit(task.train_step, donate_argnums=0)
    seen: dict[int, Filters] = {}
    for step in range(max(steps) + 1):
        if step in steps:
            filters = first_filters(jax.device_get(state.params), batch["image"].shape[1:])
            if filters is None:
                raise UserError("this network begins with no filters that see the images")
            seen[step] = filters
        state, _ = advance(state, batch, jax.random.fold_in(draws, step))
        batch = next(batches)
    return seen


def filmstrip(seen: Mapping[int, Filters], most: int = 10) -> Figure:
    """Draws filters over the course of training, a row for each.

    Args:
        seen: filters by the step after which they are so.
        most: how many to draw.

    Returns:
        A frame for each step. Filters of one channel are red where they are positive and blue where
        they are negative; all frames of a row have one scale, so that filters are seen to grow.

    Example:
        >>> figure = filmstrip({0: np.zeros((6, 5, 5, 1)), 100: np.ones((6, 5, 5, 1))})
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['0', '100']
    """
    frames = np.stack([np.asarray(filters)[:most] for filters in seen.values()], axis=1)
    rows, columns, height, width, channels = frames.shape
    limits = np.maximum(np.abs(frames).max((1, 2, 3, 4), keepdims=True), 1e-12)
    shown = 0.5 + frames / (2 * limits)
    if channels != 3:
        shown = colormaps["RdBu_r"](shown.mean(-1))[..., :3]
    canvas = np.ones((rows, columns, height + 1, width + 1, 3))
    canvas[:, :, :height, :width] = shown
    canvas = canvas.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), 3)
    figure = Figure(figsize=(0.6 * columns + 0.4, 0.6 * rows + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas[:-1, :-1], interpolation="nearest")
    axes.set_xticks((np.arange(columns) + 0.5) * (width + 1) - 1, [f"{step:,}" for step in seen])
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title("steps", fontsize=9)
    return figure
