"""Large images through networks for small ones, a tile at a time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jdl.errors import UserError


def overlap_tile(
    apply: Callable[[Array], Array],
    image: Float[np.ndarray, "height width channels"],
    tile: int,
    step: int | None = None,
    *,
    scale: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "tall wide features"]:
    """Applies a network without padding to an image of any size, and answers for every pixel.

    Such a network answers for the middle of what it sees, so that tiles overlap by what is lost
    around it; around the image, the image itself is mirrored. Neighbouring answers fit without a
    seam: they are those of the whole mirrored image, where the step is a multiple of the network's
    stride (16 for `unet`: a step of 384 for tiles of 572, which answer for 388 pixels).

    One tile after the other is cut out and handed over, all of one shape, so that one program is
    compiled, and no more memory is taken on the device than for one tile.

    Args:
        apply: images [1, tile, tile, channels] → answers [1, s·n, s·n, features], n ≤ tile; jitted.
        image: of any size.
        tile: height and width of what the network sees at a time, in pixels.
        step: from tile to tile, n pixels at most; n when not given.
        scale: s, by how much answers are larger than what they are for.
        advance: called after each tile.

    Returns:
        Answers for all pixels: s times as tall and wide as the image.

    Raises:
        UserError: the answers are not for the middle of the tile, or the step leaves gaps.

    Example:
        >>> shrink = lambda x: x[:, 1:-1, 1:-1]
        >>> image = np.arange(35.0).reshape(5, 7, 1)
        >>> bool((overlap_tile(shrink, image, tile=4) == image).all())
        True

    Source: Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, Figure 2.
    """
    height, width, channels = image.shape
    seen = jax.ShapeDtypeStruct((1, tile, tile, channels), image.dtype)
    answer = jax.eval_shape(apply, seen)
    _, rows, columns, features = answer.shape
    answered = rows // scale
    lost = tile - answered
    if rows != columns or rows % scale or lost < 0 or lost % 2:
        raise UserError(
            f"tiles of {tile}x{tile} pixels have to be answered for their middle, not for "
            f"{rows}x{columns} pixels"
        )
    step = step or answered
    if not 1 <= step <= answered:
        raise UserError(f"steps of {step} pixels leave gaps: a tile is answered for {answered}")
    # The last tile answers for pixels beyond the image.
    beyond = [answered - step + -size % step for size in (height, width)]
    pads = [(lost // 2, lost // 2 + pixels) for pixels in beyond]
    mirrored = np.pad(image, [*pads, (0, 0)], "reflect")
    answers = np.empty((scale * height, scale * width, features), answer.dtype)
    for top in range(0, height, step):
        for left in range(0, width, step):
            piece = apply(jnp.asarray(mirrored[None, top : top + tile, left : left + tile]))
            here = answers[scale * top : scale * (top + step), scale * left : scale * (left + step)]
            here[:] = np.asarray(piece)[0, : here.shape[0], : here.shape[1]]
            advance()
    return answers
