"""What the filters of image processing make of a photograph, on one page."""

from collections import OrderedDict
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jdl.errors import UserError
from jdl.ops.filters import (
    MASKS,
    filter_images,
    gaussian_filter,
    gaussian_low_pass,
    high_pass,
    low_pass,
    median_filter,
    sobel,
    spectrum,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 64  # pixels: less leaves no room for the widest filter
DRAWN = 384  # pixels: of more, a page shows nothing that a mask of three does
SIGMA = 4.0
CUTOFF = 0.06  # cycles per pixel
SPECKS = 0.1  # the share of pixels that are made black or white

Image = Float[Array, "height width channels"]


def filtered(
    photograph: UInt8[np.ndarray, "height width 3"],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Applies every filter to a photograph.

    Args:
        photograph: red, green and blue, at least 64 pixels wide and high.

    Returns:
        Pictures by what they show, from 0 to 1 with three channels, or, with one channel, to be
        looked at in grey: changes from −1 to 1, everything else from 0.

    Raises:
        UserError: a photograph that is too small.

    Example:
        >>> pictures = filtered(np.zeros((64, 64, 3), np.uint8))
        >>> len(pictures), pictures["sobel: magnitude"].shape
        (28, (64, 64, 1))
    """
    height, width, _ = photograph.shape
    if min(height, width) < SMALLEST:
        raise UserError(
            f"a photograph of {height}x{width} pixels is too small: {SMALLEST}x{SMALLEST} at least"
        )
    return {name: np.asarray(picture[0]) for name, picture in _filter_all(photograph[None]).items()}


@jax.jit
def _filter_all(photographs: UInt8[Array, "1 height width 3"]) -> OrderedDict[str, Array]:
    """Every filter in one program, which gives a plain dictionary back in another order."""
    colours = photographs / jnp.float32(255)
    grey = colours @ jnp.array([[0.299], [0.587], [0.114]])
    pictures = OrderedDict(photograph=colours)
    for name, mask in MASKS.items():
        # Those that add up to 0 answer to edges of either sign, and are looked at in grey.
        edges = abs(mask.sum()) < 0.5 and name != "emboss"
        y = filter_images(grey if edges else colours, mask)
        if name == "emboss":
            y += 0.5
        pictures[name.replace("_", " ")] = y if edges else jnp.clip(y, 0, 1)
    pictures[f"gaussian, σ = {SIGMA:g}"] = gaussian_filter(colours, SIGMA)
    edges = sobel(grey)
    pictures["sobel: magnitude"] = edges.magnitude
    # Red to the right, then green and blue, a third of a turn each.
    thirds = jnp.arange(3).reshape(1, 1, 1, 3) * 2 * jnp.pi / 3
    hues = (1 + jnp.cos(edges.direction - thirds)) / 2
    strong = jnp.maximum(jnp.quantile(edges.magnitude, 0.98), 1e-6)
    pictures["sobel: direction as hue"] = hues * jnp.minimum(edges.magnitude / strong, 1)
    key = jax.random.key(0)
    chance = jax.random.uniform(key, (*grey.shape[:3], 1))
    specks = jnp.where(chance < SPECKS / 2, 0, jnp.where(chance > 1 - SPECKS / 2, 1, colours))
    pictures[f"{SPECKS:.0%} specks"] = specks
    pictures["specks: box 3x3"] = filter_images(specks, MASKS["box_3x3"])
    pictures["specks: median 3x3"] = median_filter(specks, 3)
    pictures["median 7x7"] = median_filter(colours, 7)
    pictures["spectrum"] = jnp.log1p(spectrum(grey))
    # What a filter makes of a point is the filter.
    point = jnp.zeros((1, SMALLEST, SMALLEST, 1)).at[:, SMALLEST // 2, SMALLEST // 2].set(1)
    passes = {
        f"gaussian low pass, σ = {SIGMA:g}": lambda x: gaussian_low_pass(x, SIGMA),
        f"low pass, {CUTOFF:g} cycles a pixel": lambda x: low_pass(x, CUTOFF),
    }
    for name, low in passes.items():
        pictures[name] = jnp.clip(low(colours), 0, 1)
        pictures[f"{name.split(',')[0]}: filter"] = low(point)
        pictures[f"{name.split(',')[0]}: its spectrum"] = spectrum(low(point))
    pictures[f"high pass, {CUTOFF:g} cycles a pixel"] = high_pass(grey, CUTOFF)
    return pictures


def filter_figure(photograph: UInt8[np.ndarray, "height width 3"]) -> "Figure":
    """Draws what `filtered` gives.

    Args:
        photograph: as there.

    Raises:
        UserError: as there.

    Example:
        >>> len(filter_figure(np.zeros((64, 64, 3), np.uint8)).axes)
        28
    """
    from matplotlib.figure import Figure

    pictures = filtered(photograph)
    columns = 7
    rows = -(-len(pictures) // columns)
    shape = photograph.shape[0] / photograph.shape[1]
    figure = Figure(figsize=(14, rows * (2 * shape + 0.35)), layout="constrained")
    axes = figure.subplots(rows, columns).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes, pictures.items()):
        axis.set_title(name, fontsize=8)
        if picture.shape[-1] == 3:
            axis.imshow(picture)
        elif picture.min() < 0:  # changes: as far from grey on both sides
            reach = np.quantile(abs(picture), 0.995)
            axis.imshow(picture[..., 0], cmap="gray", vmin=-reach, vmax=reach)
        else:
            axis.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=np.quantile(picture, 0.995))
    return figure
