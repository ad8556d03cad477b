"""Restoration without learning, as scikit-image has it: denoising, and undoing a known blur."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Photograph = Float[np.ndarray, "height width channels"]


def total_variation(image: Photograph, weight: float) -> Photograph:
    """Finds the image that is close to a noisy one and has little variation.

        x̂ = argmin ½ ‖x − y‖² + λ Σ ‖∇x‖                                            (1)

    Args:
        image: y, in [0, 1].
        weight: λ.

    Example:
        >>> noisy = 0.5 + 0.1 * np.random.RandomState(0).randn(32, 32, 1).astype(np.float32)
        >>> bool(total_variation(noisy, 0.2).std() < 0.3 * noisy.std())
        True

    Source: Chambolle, 2004, https://doi.org/10.1023/B:JMIV.0000011325.36760.1e.
    """
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(image, weight, channel_axis=-1).astype(np.float32)


def richardson_lucy(
    image: Photograph, kernel: Float[np.ndarray, "size size"], iterations: int
) -> Photograph:
    """Undoes a known blur, by steps towards the image of most likelihood under Poisson's noise.

        x ← x · (k* ∗ (y / (k ∗ x))),  k* the kernel turned around                  (1)

    Args:
        image: y, in [0, 1].
        kernel: k, of odd size.
        iterations: steps; the more, the sharper, and the more noise.

    Example:
        >>> dot = np.zeros((9, 9, 1), np.float32)
        >>> dot[3:6, 3:6] = 1 / 9
        >>> sharp = richardson_lucy(dot, np.full((3, 3), 1 / 9, np.float32), 50)
        >>> bool(sharp[4, 4, 0] > 0.8)
        True

    Source: Richardson, 1972, https://doi.org/10.1364/JOSA.62.000055.
    """
    from skimage.restoration import richardson_lucy as deconvolve

    def undo(channel):
        return deconvolve(channel, kernel, iterations, clip=True, filter_epsilon=1e-4)

    return _channelwise(undo, np.clip(image, 0, 1), len(kernel))


def _channelwise(
    undo: Callable[[np.ndarray], np.ndarray], image: Photograph, margin: int
) -> Photograph:
    """Deblurs channel by channel; mirrored beyond its edges, so that nothing wraps around."""
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    restored = np.stack([undo(padded[..., c]) for c in range(image.shape[-1])], axis=-1)
    return restored[margin:-margin, margin:-margin].astype(np.float32)
