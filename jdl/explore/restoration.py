"""Pictures of any size, restored by a network that was trained on small ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jdl.ops.tiling import overlap_tile
from jdl.tasks.restoration import Restoration

TILE = 256  # pixels that the network sees at a time, along both axes
# What of them is only looked at, on each side: the U-Nets here see 23 pixels far, and of what
# `deepdeblur` sees beyond 48, a picture in 8 bits has no trace.
HALO = 48
STEP = TILE - 2 * HALO


def count_tiles(shape: Sequence[int]) -> int:
    """Counts the tiles that `restore_picture` makes of a picture.

    Args:
        shape: height and width, in pixels.

    Example:
        >>> count_tiles((160, 161))
        2
    """
    height, width = shape
    return -(-height // STEP) * -(-width // STEP)


def restore_picture(
    task: Restoration,
    state: Any,
    picture: Float[np.ndarray, "height width channels"],
    advance: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "tall wide channels"]:
    """Restores what noise, blur or few pixels left of a picture, a tile after the other.

    One program is compiled for all tiles of all pictures, and no more memory is taken on the device
    than for one of them: `jdl.ops.tiling.overlap_tile`.

    Args:
        task: says what the network predicts, and how much larger pictures become.
        state: of the task.
        picture: what is left, in [0, 1], of any size; nothing more is taken from it.
        advance: called after each tile.

    Returns:
        The picture restored, in [0, 1].

    Example:
        >>> import flax.linen as nn, jax, optax
        >>> class Nothing(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, images, *, train=False):
        ...         return self.param("zero", nn.initializers.zeros, ()) * images
        >>> halve = lambda key, image: image[::2, ::2]
        >>> images = np.zeros((1, 8, 8, 3), np.uint8)
        >>> task = Restoration(Nothing(), optax.sgd(1.0), halve, images, scale=2, enlarged=True)
        >>> batch = {"image": jax.numpy.asarray(images), "row": jax.numpy.zeros(1, int)}
        >>> state = task.init(jax.random.key(0), batch)
        >>> restore_picture(task, state, np.full((3, 5, 3), 0.5, np.float32)).shape
        (6, 10, 3)
    """
    cut = slice(task.scale * HALO, -task.scale * HALO)
    restored = overlap_tile(
        lambda tile: task.restore(state, tile)[:, cut, cut],
        picture,
        TILE,
        scale=task.scale,
        advance=advance,
    )
    return np.clip(restored, 0, 1)
