"""Changes of colour on the device: functions of a key and one RGB image in [0, 1]."""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.data.augment import Image

# The principal components of the RGB values of ImageNet's pixels, from 0 to 1: a column each, and
# the deviations along them.
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
DEVIATIONS = (0.2175, 0.0188, 0.0045)
# How much of each colour the eye takes for brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def pca_colours(key: Key[Array, ""], image: Image, *, deviation: float = 0.1) -> Image:
    """Adds one colour to all pixels, drawn along the principal components of ImageNet's colours.

        x ← x + [p₁ p₂ p₃] [α₁ λ₁, α₂ λ₂, α₃ λ₃]ᵀ,  αᵢ ~ N(0, σ²)                    (1)

    The λ that everyone uses are the deviations along pᵢ: the roots of what the paper calls λ.

    Args:
        key: of α.
        image: RGB.
        deviation: σ.

    Example:
        >>> image = jnp.full((2, 2, 3), 0.5)
        >>> bool((pca_colours(jax.random.key(0), image, deviation=0.0) == image).all())
        True

    Source: Krizhevsky et al., 2012, section 4.1; the numbers are those of fb.resnet.torch.
    """
    alpha = deviation * jax.random.normal(key, (3,))
    shift = jnp.array(EIGENVECTORS) @ (alpha * jnp.array(DEVIATIONS))
    return image + shift[None, None].astype(image.dtype)


def colour_jitter(
    key: Key[Array, ""],
    image: Image,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
) -> Image:
    """Changes brightness, contrast and saturation by random factors, in random order.

        x ← r + f·(x − r),  f ~ U(1 − s, 1 + s)                                     (1)

    with r black for brightness, the mean grey of the image for contrast, and every pixel's own grey
    for saturation.

    Args:
        key: of the factors and the order.
        image: RGB.
        brightness: s of brightness.
        contrast: s of contrast.
        saturation: s of saturation.

    Example:
        >>> image = jax.random.uniform(jax.random.key(1), (4, 4, 3))
        >>> bool(jnp.allclose(colour_jitter(jax.random.key(0), image), image, atol=1e-6))
        True

    Source: Howard, 2013, https://arxiv.org/abs/1312.5402, section 2.
    """
    order_key, factor_key = jax.random.split(key)
    strengths = jnp.array([brightness, contrast, saturation])
    factors = 1 + strengths * jax.random.uniform(factor_key, (3,), minval=-1.0, maxval=1.0)
    references = (jnp.zeros_like, _mean_grey, _grey)

    def in_order(order: tuple[int, ...]):
        def apply(image: Image) -> Image:
            for i in order:
                reference = references[i](image)
                image = reference + factors[i].astype(image.dtype) * (image - reference)
            return image

        return apply

    orders = [in_order(order) for order in itertools.permutations(range(3))]
    return jax.lax.switch(jax.random.randint(order_key, (), 0, len(orders)), orders, image)


def _grey(image: Image) -> Float[Array, "height width channels"]:
    grey = image @ jnp.array(LUMA, image.dtype)
    return jnp.broadcast_to(grey[:, :, None], image.shape)


def _mean_grey(image: Image) -> Float[Array, "height width channels"]:
    return jnp.full_like(image, _grey(image).mean())
