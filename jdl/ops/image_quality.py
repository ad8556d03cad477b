"""How close an image comes to another: peak signal-to-noise ratio, and structural similarity."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.ops.filters import gaussian_kernel
from jdl.ops.images import Images
from jdl.ops.signals import separable_convolve

# Of the Gaussian window of 11×11 pixels, and the two constants, as the paper has them.
WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03


def psnr(images: Images, clean: Images) -> Float[Array, " batch"]:
    """Measures the peak signal-to-noise ratio of each image, in decibels.

        PSNR = 10 log₁₀ (1 / mean (x̂ − x)²)                                         (1)

    over pixels and channels.

    Args:
        images: x̂, in [0, 1].
        clean: x, in [0, 1].

    Returns:
        One number for each image; infinite where the two are the same.

    Example:
        >>> grey = jnp.full((1, 4, 4, 1), 0.5)
        >>> round(float(psnr(grey + 0.1, grey)[0]), 3)
        20.0
    """
    return -10 * jnp.log10(jnp.square(images - clean).mean((1, 2, 3)))


def ssim(images: Images, clean: Images) -> Float[Array, " batch"]:
    """Measures the structural similarity of each image with another.

        SSIM = (2 μₓ μ_y + C₁)(2 σₓ_y + C₂) / ((μₓ² + μ_y² + C₁)(σₓ² + σ_y² + C₂)), (1)
        C₁ = K₁²,  C₂ = K₂²,                                                        (2)

    of means, variances and the covariance under a Gaussian window of 11×11 pixels and deviation
    1.5, averaged over all places where the window lies within the image, and over channels.

    Args:
        images: x, in [0, 1], of 11 pixels or more along both sides.
        clean: y, in [0, 1].

    Returns:
        One number for each image, 1 where the two are the same.

    Example:
        >>> stripes = jnp.tile(jnp.array([0.0, 1.0]), (16, 8)).reshape(1, 16, 16, 1)
        >>> [round(float(ssim(x, stripes)[0]), 3) for x in (stripes, 1 - stripes)]
        [1.0, -0.996]

    Source: Wang et al., 2004, https://doi.org/10.1109/TIP.2003.819861, equation 13; of colour
    images the mean over channels, as scikit-image has it.
    """
    # Variances are differences of squares, which lose fewer digits around zero.
    middle_x, middle_y = (i.mean((1, 2), keepdims=True) for i in (images, clean))
    x, y = images - middle_x, clean - middle_y
    windowed_x, windowed_y = _window(x), _window(y)
    variance_x = _window(x * x) - windowed_x**2
    variance_y = _window(y * y) - windowed_y**2
    covariance = _window(x * y) - windowed_x * windowed_y
    mean_x, mean_y = middle_x + windowed_x, middle_y + windowed_y
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean((1, 2, 3))


def _window(images: Images) -> Float[Array, "batch rows columns channels"]:
    """Averages under the Gaussian window, at all places where it lies within the image."""
    kernel = jnp.asarray(gaussian_kernel(DEVIATION, WINDOW))
    planes = separable_convolve(jnp.moveaxis(images, -1, 1), [kernel, kernel], "valid")
    return jnp.moveaxis(planes, 1, -1)
