"""Objects in masks: which pixels hang together, where objects touch, and which were found."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Instances = Int[Array, "height width"]


def connected_components(mask: Bool[Array, "height width"]) -> Int[Array, "height width"]:
    """Gives the pixels of a mask that hang together, by sides or corners, the same number.

        lᵢ ← max of lⱼ over the 3×3 neighbours j of i in the mask, until nothing changes   (1)

    from a number of its own at each pixel.

    Args:
        mask: where there is something.

    Returns:
        0 outside the mask; inside, 1 and the place of the component's last pixel, row by row.

    Example:
        >>> mask = jnp.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)
        >>> connected_components(mask).tolist()
        [[6, 0, 0, 8], [0, 6, 0, 8]]
    """
    own = jnp.where(mask, jnp.arange(1, mask.size + 1).reshape(mask.shape), 0)

    def spread(labels_and_before: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = labels_and_before
        return jnp.where(mask, _highest(labels), 0), labels

    def changes(labels_and_before: tuple[Array, Array]) -> Array:
        labels, before = labels_and_before
        return (labels != before).any()

    return lax.while_loop(changes, spread, spread((own, own)))[0]


def contacts(instances: Instances) -> Bool[Array, "height width"]:
    """Finds the pixels of objects that have another object among their eight neighbours.

    Args:
        instances: 0 where there is none, 1, 2, … in each.

    Example:
        >>> contacts(jnp.array([[1, 1, 2, 0, 3]])).astype(int).tolist()
        [[0, 1, 1, 0, 0]]
    """
    most = jnp.iinfo(instances.dtype).max
    lowest = -_highest(-jnp.where(instances > 0, instances, most))
    return (instances > 0) & (_highest(instances) != lowest)


def trimap(
    classes: Int[Array, "batch height width"], distance: int
) -> Bool[Array, "batch height width"]:
    """Finds the pixels that have another class not far from them.

    Args:
        classes: of each pixel.
        distance: how far to look, along both axes, in pixels.

    Example:
        >>> trimap(jnp.array([[[0, 0, 0, 3, 3, 3]]]), 2).astype(int).tolist()
        [[[0, 1, 1, 1, 1, 0]]]

    Source: Kohli et al., 2009, https://doi.org/10.1007/s11263-008-0202-0, section 5.
    """
    return _highest(classes, distance) != -_highest(-classes, distance)


def _highest(values: Int[Array, "*batch height width"], distance: int = 1) -> Array:
    """The highest among the neighbours up to a distance along both axes."""
    window = (*[1] * (values.ndim - 2), 2 * distance + 1, 2 * distance + 1)
    least = jnp.iinfo(values.dtype).min
    return lax.reduce_window(values, least, lax.max, window, (1,) * values.ndim, "SAME")


class Match(NamedTuple):
    """How the objects of an image were found.

    Attributes:
        found: which of the true objects; false for numbers that no object has.
        present: which numbers some object has.
        proposed: how many objects were predicted.
    """

    found: Bool[Array, " objects"]
    present: Bool[Array, " objects"]
    proposed: Float[Array, ""]


@partial(jax.jit, static_argnames="most")
def match_objects(predicted: Instances, instances: Instances, most: int) -> Match:
    """Says which true objects have a predicted one that is much the same.

        IoU(A, B) = |A ∩ B| / |A ∪ B| > ½                                           (1)

    No object can have two partners at that threshold.

    Args:
        predicted: 0 where there is nothing; any numbers up to that of the pixels in objects.
        instances: 0 where there is nothing; 1 … `most` in objects.
        most: objects that an image may have.

    Example:
        >>> truth = jnp.array([[1, 1, 1, 0, 2, 2]])
        >>> match = match_objects(jnp.array([[5, 5, 0, 0, 6, 0]]), truth, most=3)
        >>> match.found.tolist(), match.present.tolist(), int(match.proposed)
        ([True, False, False], [True, True, False], 2)

    Source: Kirillov et al., 2019, https://arxiv.org/abs/1801.00868, section 4.1.
    """
    labels, truth = predicted.ravel(), instances.ravel()
    is_object = truth[None, :] == jnp.arange(1, most + 1)[:, None]
    count = partial(jax.ops.segment_sum, segment_ids=labels, num_segments=labels.size + 1)
    both = jax.vmap(count)(is_object.astype(jnp.float32))[:, 1:]
    sizes = count(jnp.ones(labels.size))[1:]
    true_sizes = is_object.sum(1, dtype=jnp.float32)
    either = sizes[None, :] + true_sizes[:, None] - both
    found = (both > 0.5 * either).any(1)
    return Match(found, true_sizes > 0, (sizes > 0).sum(dtype=jnp.float32))
