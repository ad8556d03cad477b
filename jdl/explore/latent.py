"""Codes and samples of generative models: arithmetic, nearest images, and which classes there are.

Paths between codes, straight and along the sphere, are in `jdl.ops.interpolation`.
"""

import dataclasses

import numpy as np
from jaxtyping import Array, Float, Int

from jdl.errors import UserError
from jdl.explore.neighbours import nearest_neighbours

CONFIDENT = 0.9


def arithmetic(
    have: Float[Array, "examples latent"],
    without: Float[Array, "others other"],
    given: Float[Array, "*batch more"],
) -> Float[Array, "*batch more"]:
    """Adds to codes what one group of examples has and another has not.

        z' = z + mean(a) − mean(b)                                                  (1)

    Args:
        have: a, codes of examples with a property.
        without: b, of examples without it.
        given: z.

    Returns:
        z'.

    Raises:
        UserError: the codes are not of one size.

    Example:
        >>> import jax.numpy as jnp
        >>> smiling, neutral = jnp.array([[1.0, 5.0], [1.0, 7.0]]), jnp.array([[0.0, 6.0]])
        >>> arithmetic(smiling, neutral, jnp.array([3.0, 3.0])).tolist()
        [4.0, 3.0]

    Source: Radford et al., 2016, https://arxiv.org/abs/1511.06434, section 6.3.2.
    """
    sizes = [codes.shape[-1] for codes in (have, without, given)]
    if len(set(sizes)) > 1:
        raise UserError(f"codes of {', '.join(map(str, sizes))} numbers cannot be added")
    return given + (have.mean(0) - without.mean(0)).reshape((1,) * (given.ndim - 1) + (-1,))


def nearest_images(
    samples: Float[np.ndarray, "samples *shape"], images: Float[np.ndarray, "images *shape"]
) -> tuple[Int[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """Finds the image that each sample is nearest to, pixel by pixel.

        d(x) = minᵢ ‖x − yᵢ‖                                                         (1)

    A model that has learned its training set by heart draws samples next to it.

    Args:
        samples: x.
        images: y, those of the training set.

    Returns:
        Number of the nearest image, and d.

    Example:
        >>> images = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
        >>> where, distance = nearest_images(np.array([[1.0, 0.5]], np.float32), images)
        >>> where.tolist(), distance.tolist()
        ([1], [0.5])
    """
    x, y = (np.asarray(group).reshape(len(group), -1) for group in (samples, images))
    where, distances = nearest_neighbours(x, y, 1)
    return where[:, 0], distances[:, 0]


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Which classes samples are of, as a classifier sees them.

    Attributes:
        confident: share of samples that it gives a probability above 0.9.
        shares: of the samples, by class.
    """

    confident: float
    shares: Float[np.ndarray, " classes"]

    @property
    def rarest(self) -> float:
        """The share of the rarest class: 0 where a mode is missing."""
        return float(self.shares.min())

    @property
    def modes(self) -> float:
        """How many classes there are in effect: exp of the entropy of the shares."""
        shares = self.shares[self.shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))


def mode_coverage(probabilities: Float[np.ndarray, "samples classes"]) -> Coverage:
    """Counts the classes of samples.

    Args:
        probabilities: that a classifier, trained on real images, gives each sample.

    Returns:
        Its confidence, and the share of each class.

    Example:
        >>> coverage = mode_coverage(np.array([[0.95, 0.05], [0.8, 0.2], [0.1, 0.9]]))
        >>> round(coverage.confident, 3), coverage.shares.round(3).tolist()
        (0.333, [0.667, 0.333])
    """
    classes = probabilities.shape[1]
    counts = np.bincount(probabilities.argmax(1), minlength=classes)
    confident = float((probabilities.max(1) > CONFIDENT).mean())
    return Coverage(confident, counts / len(probabilities))


def crop_to(
    images: Float[np.ndarray, "images height width channels"], shape: tuple[int, ...]
) -> Float[np.ndarray, "images rows columns channels"]:
    """Cuts the middle out of images, where a generator pads those that it learns from.

    Args:
        images: at least as large.
        shape: height, width and channels that are wanted.

    Raises:
        UserError: the images are smaller, or have another number of channels.

    Example:
        >>> crop_to(np.zeros((5, 32, 32, 1)), (28, 28, 1)).shape
        (5, 28, 28, 1)
    """
    extra = [have - want for have, want in zip(images.shape[1:3], shape)]
    if min(extra) < 0 or images.shape[3] != shape[2]:
        raise UserError(
            f"samples of shape {images.shape[1:]} cannot be compared with images of shape {shape}"
        )
    top, left = (each // 2 for each in extra)
    return images[:, top : top + shape[0], left : left + shape[1]]
