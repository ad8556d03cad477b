"""Augmentation on the device: pure functions of a key and one image, mapped over the batch.

dm-pix gives flips, crops, brightness and contrast. Its `affine_transform` takes 8 ms for 64 images
of 28×28×1 on two CPU cores, so `random_affine` samples bilinearly by itself, in 0.5 ms.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jdl.errors import UserError
from jdl.ops.random import per_example_keys

Image = Float[Array, "height width channels"]
Augmentation = Callable[[Key[Array, ""], Image], Image]


def augment_batch(
    function: Augmentation,
    key: Key[Array, ""],
    images: Float[Array, "batch height width channels"],
    rows: Int[Array, " batch"],
) -> Float[Array, "batch new_height new_width channels"]:
    """Augments every image with a key of its own, derived from its row in the global batch.

    Args:
        function: of (key, image), for example `functools.partial(random_flip, probability=0.5)`.
        key: the step's key.
        images: a batch, or the part of it that this device holds.
        rows: the images' numbers in the global batch, `batch["row"]`.

    Example:
        >>> images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 1))
        >>> whole = augment_batch(random_flip, jax.random.key(1), images, jnp.arange(4))
        >>> half = augment_batch(random_flip, jax.random.key(1), images[2:], jnp.arange(2, 4))
        >>> bool((whole[2:] == half).all())
        True
    """
    return jax.vmap(function)(per_example_keys(key, rows), images)


def compose(*functions: Augmentation) -> Augmentation:
    """Applies augmentations one after the other, each with a key of its own.

    Args:
        functions: of (key, image).

    Example:
        >>> both = compose(random_flip, random_crop)
        >>> both(jax.random.key(0), jnp.ones((8, 8, 1))).shape
        (8, 8, 1)
    """

    def composed(key: Key[Array, ""], image: Image) -> Image:
        for function, own_key in zip(functions, jax.random.split(key, len(functions))):
            image = function(own_key, image)
        return image

    return composed


def random_flip(key: Key[Array, ""], image: Image, *, probability: float = 0.5) -> Image:
    """Mirrors left and right, with a probability.

    Example:
        >>> image = jnp.arange(3.0).reshape(1, 3, 1)
        >>> random_flip(jax.random.key(0), image, probability=1.0).ravel().tolist()
        [2.0, 1.0, 0.0]
    """
    import dm_pix

    return dm_pix.random_flip_left_right(key, image, probability=probability)


def random_symmetry(key: Key[Array, ""], image: Image) -> Image:
    """Mirrors and turns a square image in one of eight ways, each as probable as the others.

    Example:
        >>> image = jnp.arange(4.0).reshape(2, 2, 1)
        >>> keys = jax.random.split(jax.random.key(0), 99)
        >>> len({tuple(random_symmetry(key, image).ravel().tolist()) for key in keys})
        8
    """
    views = (jnp.flipud, jnp.fliplr, lambda image: image.swapaxes(0, 1))
    for chosen, view in zip(jax.random.bernoulli(key, shape=(3,)), views):
        image = jnp.where(chosen, view(image), image)
    return image


def random_crop(key: Key[Array, ""], image: Image, *, padding: int = 4) -> Image:
    """Pads with zeros on all sides and cuts a piece of the former size at a random place.

    The augmentation of ResNet on CIFAR-10 (He et al., 2016, §4.2) with padding 4.

    Args:
        key: of the place.
        image: any size.
        padding: in pixels.

    Example:
        >>> random_crop(jax.random.key(0), jnp.ones((8, 8, 1)), padding=2).shape
        (8, 8, 1)
    """
    import dm_pix

    padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return dm_pix.random_crop(key, padded, image.shape)


def random_brightness(key: Key[Array, ""], image: Image, *, max_delta: float) -> Image:
    """Adds one number, uniform in ±max_delta, to all pixels.

    Example:
        >>> image = jnp.full((2, 2, 1), 0.5)
        >>> bool((random_brightness(jax.random.key(0), image, max_delta=0.0) == image).all())
        True
    """
    import dm_pix

    return dm_pix.random_brightness(key, image, max_delta)


def random_contrast(key: Key[Array, ""], image: Image, *, lower: float, upper: float) -> Image:
    """Scales the distance of every pixel from its channel's mean, by a uniform factor.

    Args:
        key: of the factor.
        image: any size.
        lower: least factor; 1 changes nothing.
        upper: largest factor.

    Example:
        >>> image = jnp.array([0.0, 1.0]).reshape(1, 2, 1)
        >>> random_contrast(jax.random.key(0), image, lower=0.5, upper=0.5).ravel().tolist()
        [0.25, 0.75]
    """
    import dm_pix

    return dm_pix.random_contrast(key, image, lower, upper)


def random_erasing(
    key: Key[Array, ""],
    image: Image,
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 10 / 3),
    mean: Sequence[float] = (0.5,),
    deviation: Sequence[float] = (0.5,),
) -> Image:
    """Fills a random rectangle with noise, with a probability.

        a ~ U(area), log r ~ U(log aspect)                                          (1)
        height = √(a·H·W·r), width = √(a·H·W / r), each at most the image's          (2)

    Args:
        key: of the rectangle and the noise.
        image: of H×W pixels.
        probability: that there is one.
        area: least and largest share of the image.
        aspect: least and largest height over width.
        mean: of the noise, for each channel or for all.
        deviation: of the noise, likewise.

    Example:
        >>> image = jnp.zeros((8, 8, 1))
        >>> erased = random_erasing(jax.random.key(0), image, probability=1.0, area=(0.25, 0.25),
        ...                         aspect=(1.0, 1.0))
        >>> int((erased != 0).sum())
        16

    Source: Zhong et al., 2020, https://arxiv.org/abs/1708.04896, Algorithm 1; noise for every
    pixel, as in timm.
    """
    choice_key, form_key, place_key, noise_key = jax.random.split(key, 4)
    height, width, _ = image.shape
    low = jnp.array([area[0], math.log(aspect[0])])
    high = jnp.array([area[1], math.log(aspect[1])])
    share, log_ratio = low + (high - low) * jax.random.uniform(form_key, (2,))
    pixels, ratio = share * height * width, jnp.exp(log_ratio)
    size = jnp.sqrt(pixels * jnp.array([ratio, 1 / ratio]))
    size = jnp.clip(jnp.round(size), 1, jnp.array([height, width]))
    room = jnp.array([height, width]) - size + 1
    top, left = jnp.floor(jax.random.uniform(place_key, (2,)) * room)
    row, column = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (row >= top) & (row < top + size[0]) & (column >= left) & (column < left + size[1])
    inside &= jax.random.bernoulli(choice_key, probability)
    noise = jax.random.normal(noise_key, image.shape, image.dtype)
    noise = noise * _channels(deviation, image) + _channels(mean, image)
    return jnp.where(inside[:, :, None], noise, image)


def _channels(values: Sequence[float], image: Image) -> Image:
    return jnp.broadcast_to(jnp.array(values, image.dtype), image.shape)


def random_affine(
    key: Key[Array, ""],
    image: Image,
    *,
    rotation: float = 0.0,
    scale: float = 0.0,
    translation: float = 0.0,
    shear: float = 0.0,
) -> Image:
    """Rotates, scales, shears and moves an image about its centre, by uniform random amounts.

    A point p of the result, counted from the centre as (row, column), is sampled at

        q = A⁻¹(p − t),  A = R(θ) S(φ) diag(s_y, s_x),                              (1)
        θ ~ U(±rotation), tan φ ~ U(±tan shear),                                    (2)
        log s_y, log s_x ~ U(±log(1 + scale)), t_y, t_x ~ U(±translation).          (3)

    Args:
        key: of the amounts.
        image: any size; outside of it there is zero.
        rotation: largest angle, degrees.
        scale: largest enlargement of height and of width, independent; 0.1 is 10 %.
        translation: largest shift, pixels, independent in both directions.
        shear: largest angle of slant, degrees.

    Returns:
        An image of the same size.

    Example:
        >>> image = jax.random.uniform(jax.random.key(0), (28, 28, 1))
        >>> moved = random_affine(jax.random.key(1), image, rotation=10.0, translation=2.0)
        >>> moved.shape, bool((random_affine(jax.random.key(1), image) == image).all())
        ((28, 28, 1), True)
    """
    amounts = jax.random.uniform(key, (6,), minval=-1.0, maxval=1.0)
    angle = amounts[0] * jnp.deg2rad(rotation)
    slant = amounts[1] * jnp.tan(jnp.deg2rad(shear))
    scale_y, scale_x = jnp.exp(amounts[2:4] * jnp.log1p(scale))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # A⁻¹ = diag(1 / s) S(−φ) R(−θ), written out.
    inverse = jnp.array(
        [
            [cos / scale_y, sin / scale_y],
            [(-slant * cos - sin) / scale_x, (-slant * sin + cos) / scale_x],
        ]
    )
    return affine(image, inverse, amounts[4:6] * translation)


def affine(image: Image, inverse: Float[Array, "2 2"], translation: Float[Array, "2"]) -> Image:
    """Samples an image bilinearly at q = inverse · (p − translation), p and q from the centre.

    Args:
        image: any size; outside of it there is zero.
        inverse: from the result's (row, column) to the image's.
        translation: of the result, in pixels.

    Example:
        >>> image = jnp.arange(4.0).reshape(1, 4, 1)
        >>> affine(image, jnp.eye(2), jnp.array([0.0, 1.0])).ravel().tolist()
        [0.0, 0.0, 1.0, 2.0]
    """
    height, width, _ = image.shape
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    y = (jnp.arange(height) - centre_y - translation[0])[:, None]
    x = (jnp.arange(width) - centre_x - translation[1])[None, :]
    source_y = inverse[0, 0] * y + inverse[0, 1] * x + centre_y
    source_x = inverse[1, 0] * y + inverse[1, 1] * x + centre_x
    return _sample(image, source_y, source_x)


def random_zoom(key: Key[Array, ""], image: Image, *, largest: float) -> Image:
    """Enlarges or shrinks an image about its centre, height and width alike.

        log s ~ U(±log z)                                                           (1)

    Args:
        key: of s.
        image: any size; outside of it there is zero.
        largest: z, at least 1; at most z times as large or as small.

    Returns:
        An image of the same size.

    Example:
        >>> image = jnp.ones((9, 9, 1))
        >>> zoomed = random_zoom(jax.random.key(1), image, largest=2.0)
        >>> bool(25 < zoomed.sum() < 81)
        True
    """
    scale = largest ** jax.random.uniform(key, minval=-1.0, maxval=1.0)
    return affine(image, jnp.eye(2) / scale, jnp.zeros(2))


def random_elastic(
    key: Key[Array, ""], image: Image, *, strength: float = 34.0, sigma: float = 4.0
) -> Image:
    """Distorts an image as if hands that held a pen had trembled.

        x̃(p) = x(p + α (G_σ * u)(p)),  u(p) ~ U(−1, 1)²                             (1)

    for every pixel p, with a Gaussian G that has neighbours move together.

    Args:
        key: of u.
        image: any size; outside of it there is zero.
        strength: α, pixels; smoothed, the shifts have a deviation of about α / (6 σ).
        sigma: σ, pixels.

    Returns:
        An image of the same size.

    Raises:
        UserError: a σ that is not positive.

    Example:
        >>> image = jax.random.uniform(jax.random.key(0), (28, 28, 1))
        >>> random_elastic(jax.random.key(1), image).shape
        (28, 28, 1)

    Source: Simard et al., 2003, https://doi.org/10.1109/ICDAR.2003.1227801, section 2; α = 34
    and σ = 4 are theirs, for digits of 29 pixels.
    """
    if sigma <= 0:
        raise UserError(f"sigma is positive, in pixels, not {sigma:g}")
    height, width, _ = image.shape
    field = jax.random.uniform(key, (2, height, width), minval=-1.0, maxval=1.0)
    # Products of matrices: for a batch, several times as fast as convolutions.
    shift = strength * (_smoothing(height, sigma) @ field @ _smoothing(width, sigma).T)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    return _sample(image, rows + shift[0], columns + shift[1])


def _smoothing(length: int, sigma: float) -> Float[np.ndarray, "length length"]:
    """The Gaussian average along an axis as a matrix, of what there is of it at the borders."""
    distance = np.arange(length)[:, None] - np.arange(length)
    weights = np.exp(-0.5 * (distance / sigma) ** 2).astype(np.float32)
    return weights / weights.sum(1, keepdims=True)


def _sample(
    image: Image, source_y: Float[Array, "height width"], source_x: Float[Array, "height width"]
) -> Image:
    """Interpolates an image bilinearly at (row, column) for each pixel; outside of it is zero."""
    height, width, channels = image.shape
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    below, right = (source_y - top)[:, :, None], (source_x - left)[:, :, None]
    # One frame of zeros, to which all places outside are moved.
    framed = jnp.pad(image, ((1, 1), (1, 1), (0, 0))).reshape(-1, channels)

    def pixel(row: Array, column: Array) -> Array:
        row = jnp.clip(row + 1, 0, height + 1).astype(jnp.int32)
        column = jnp.clip(column + 1, 0, width + 1).astype(jnp.int32)
        return jnp.take(framed, row * (width + 2) + column, axis=0, mode="clip")

    upper = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
    lower = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
    return (upper * (1 - below) + lower * below).astype(image.dtype)
