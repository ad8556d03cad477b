"""From one image to another, through the noise that each is made of."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.diffusion.denoisers import Denoiser
from jdl.diffusion.processes import Process
from jdl.diffusion.samplers import ddim, ddim_encode
from jdl.errors import UserError
from jdl.ops.interpolation import spherical_path


def interpolate(
    denoise: Denoiser,
    process: Process,
    first: Float[Array, "*shape"],
    second: Float[Array, "..."],
    count: int = 9,
    steps: int = 50,
) -> Float[Array, "count *shape"]:
    """Goes from one image to another: both are encoded by DDIM, and the arc between them decoded.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: that it was trained on.
        first: the image to begin with.
        second: the image to end with.
        count: images on the way, both ends included.
        steps: of encoding and of decoding.

    Returns:
        The images; the ends are what is left of the two after encoding and decoding.

    Raises:
        UserError: fewer than two images, or the two are not of one shape.

    Source: Song et al., 2021, https://arxiv.org/abs/2010.02502, section 5.3.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> process = VariancePreserving()
        >>> def shrink(noisy, t):  # exact for images that are normal, of variance 1
        ...     return process.scales(t).over(noisy).signal * noisy
        >>> x, y = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> way = interpolate(shrink, process, x, y, count=3, steps=200)
        >>> bool(jnp.allclose(way[1], 0.5**0.5, atol=0.02))
        True
    """
    check_shape(second, first.shape, "the second image")
    if count < 2:
        raise UserError(f"from one image to another there are at least 2, not {count}")
    x, y = ddim_encode(denoise, process, jnp.stack([first, second]), steps)
    codes = spherical_path(x.ravel(), y.ravel(), count).reshape(count, *x.shape)
    keys = jax.random.split(jax.random.key(0), count)  # DDIM takes them, and draws nothing
    return ddim(denoise, process, codes, keys, steps)[0]


def check_shape(x: Array, shape: tuple[int, ...], name: str = "a latent of this model") -> None:
    """Refuses what has not the shape of the images that it goes with or becomes.

    Args:
        x: given.
        shape: that it has to have.
        name: of x, for the error.

    Raises:
        UserError: with both shapes.

    Example:
        >>> check_shape(jnp.zeros((8, 8, 1)), (28, 28, 1))
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: a latent of this model has to have the shape 28×28×1, not 8×8×1
    """
    if x.shape != shape:
        ours, theirs = ("×".join(map(str, each)) for each in (shape, x.shape))
        raise UserError(f"{name} has to have the shape {ours}, not {theirs}")
