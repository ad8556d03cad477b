"""Undoing a convolution whose kernel is known."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.errors import UserError


def wiener(
    image: Float[Array, "height width channels"],
    kernel: Float[Array, "taps taps"],
    balance: float,
) -> Float[Array, "height width channels"]:
    """Undoes a blur in the Fourier domain, where noise has not drowned it.

        X = K̄ Y / (|K|² + λ |D|²),  D the spectrum of the Laplacian                 (1)

    the image being mirrored beyond its edges, so that nothing wraps around.

    Args:
        image: y.
        kernel: k, of odd size.
        balance: λ; the more noise, the larger.

    Returns:
        x.

    Raises:
        UserError: the kernel has no middle, or the image is not larger.

    Example:
        >>> flat, box = jnp.full((9, 9, 1), 0.5), jnp.full((3, 3), 1 / 9)
        >>> bool(jnp.allclose(wiener(flat, box, 0.1), 0.5, atol=1e-6))
        True

    Source: Hunt, 1973, https://doi.org/10.1109/TC.1973.5009169, which is Wiener's filter where
    noise is white and images are smooth.
    """
    taps = len(kernel)
    if taps % 2 == 0 or min(image.shape[:2]) <= taps:
        raise UserError(
            f"a blur of {taps} pixels can be undone where that is odd, and less than the image: "
            f"this one has {image.shape[0]}×{image.shape[1]} pixels"
        )
    padded = jnp.pad(image, ((taps, taps), (taps, taps), (0, 0)), mode="reflect")
    shape = padded.shape[:2]
    response = _spectrum(kernel, shape)
    roughness = _spectrum(jnp.array([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]), shape)
    inverse = response.conj() / (jnp.abs(response) ** 2 + balance * jnp.abs(roughness) ** 2)
    spectra = inverse[..., None] * jnp.fft.rfft2(padded, axes=(0, 1))
    return jnp.fft.irfft2(spectra, shape, axes=(0, 1))[taps:-taps, taps:-taps]


def _spectrum(kernel: Array, shape: tuple[int, ...]) -> Array:
    """The spectrum of a kernel whose middle is at the origin."""
    middle = len(kernel) // 2
    kernel = jnp.pad(kernel, [(0, size - len(kernel)) for size in shape])
    return jnp.fft.rfft2(jnp.roll(kernel, (-middle, -middle), (0, 1)))
