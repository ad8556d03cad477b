"""What photographs suffer, and a network is to undo: blur by motion, and a loss of resolution.

Noise is in `jdl.data.noise`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.errors import UserError
from jdl.ops.bicubic import resize_bicubic
from jdl.ops.signals import fft_convolve

Image = Float[Array, "height width channels"]
Kernel = Float[Array, "size size"]


def motion_kernel(
    key: Key[Array, ""], *, size: int = 15, shortest: float = 5.0, longest: float = 11.0
) -> Kernel:
    """Draws what a point becomes while the camera moves evenly along a straight line.

        k[i, j] = ∫₋½^½ h(i − i₀ − t ℓ sin θ) h(j − j₀ − t ℓ cos θ) dt,             (1)
        h(u) = max(0, 1 − |u|),  θ ~ U(0, π),  ℓ ~ U(shortest, longest)             (2)

    Args:
        key: of θ and ℓ.
        size: of the kernel, odd, in pixels; (i₀, j₀) is its middle.
        shortest: least length of the line, pixels.
        longest: largest length of the line, pixels.

    Returns:
        The kernel, which sums to 1.

    Raises:
        UserError: the size is even, or the line longer than the kernel has room for.

    Example:
        >>> kernel = motion_kernel(jax.random.key(0), size=7, shortest=3.0, longest=3.0)
        >>> kernel.shape, round(float(kernel.sum()), 4), bool((kernel > 0.05).sum() < 10)
        ((7, 7), 1.0, True)
    """
    if size % 2 == 0 or longest > size - 1:
        raise UserError(
            f"a kernel of {size} pixels has no room for a line of {longest:g}: its size is odd, "
            "and larger by one than the line at least"
        )
    angle_key, length_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, maxval=jnp.pi)
    length = jax.random.uniform(length_key, minval=shortest, maxval=longest)
    # Several points in each pixel: the sum is as good as the integral.
    t = jnp.linspace(-0.5, 0.5, 4 * size) * length
    offsets = jnp.arange(size) - size // 2

    def hats(centres: Float[Array, " points"]) -> Float[Array, "points size"]:
        return jnp.maximum(0, 1 - jnp.abs(offsets[None, :] - centres[:, None]))

    return hats(t * jnp.sin(angle)).T @ hats(t * jnp.cos(angle)) / len(t)


def blur(image: Image, kernel: Kernel) -> Image:
    """Convolves an image with a kernel, mirrored beyond its edges.

        y[p] = Σ_q k[q] x[p − q]                                                    (1)

    Args:
        image: x, larger than half the kernel.
        kernel: k, of odd size; q counts from its middle.

    Returns:
        An image of the same size.

    Example:
        >>> dot = jnp.zeros((5, 5, 1)).at[2, 2].set(1.0)
        >>> kernel = jnp.arange(9.0).reshape(3, 3)
        >>> bool(jnp.allclose(blur(dot, kernel)[1:4, 1:4, 0], kernel, atol=1e-4))
        True
    """
    half = len(kernel) // 2
    padded = jnp.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    # A kernel of its own for every image of a batch would be a slow convolution by its taps.
    blurred = fft_convolve(jnp.moveaxis(padded, -1, 0), kernel, "valid")
    return jnp.moveaxis(blurred, 0, -1)


def shrink(
    key: Key[Array, ""], image: Image, *, scale: int
) -> Float[Array, "rows columns channels"]:
    """Makes an image smaller, bicubically and without aliasing.

    Args:
        key: not needed; every degradation has one.
        image: of a height and a width that the scale divides.
        scale: pixels that become one, along both axes.

    Raises:
        UserError: the scale does not divide the image.

    Example:
        >>> shrink(jax.random.key(0), jnp.ones((6, 9, 3)), scale=3).shape
        (2, 3, 3)
    """
    height, width, _ = image.shape
    if height % scale or width % scale:
        raise UserError(f"{height}×{width} pixels cannot be divided by {scale}")
    return resize_bicubic(image[None], height // scale, width // scale)[0]
