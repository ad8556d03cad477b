"""Paths between codes: straight, and along the sphere."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.errors import UserError

Codes = Float[Array, "*batch latent"]
# Those of the other end are compared by hand, for the sake of a sentence.
OtherCodes = Float[Array, "*others other"]
Path = Float[Array, "*batch steps latent"]


def linear_path(start: Codes, end: OtherCodes, steps: int) -> Path:
    """Goes from one code to another in equal steps.

        z(t) = (1 − t) a + t b,  t from 0 to 1                                      (1)

    Args:
        start: a.
        end: b.
        steps: codes on the way, with both ends.

    Returns:
        z.

    Raises:
        UserError: the ends are of different shapes, or there are fewer than two steps.

    Example:
        >>> linear_path(jnp.array([0.0, 2.0]), jnp.array([2.0, 0.0]), 3).tolist()
        [[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]
    """
    t = _times(start, end, steps)
    return (1 - t) * start[..., None, :] + t * end[..., None, :]


def spherical_path(start: Codes, end: OtherCodes, steps: int) -> Path:
    """Goes from one code to another at an even angle.

        z(t) = (sin((1 − t) Ω) a + sin(t Ω) b) / sin Ω,  cos Ω = a·b/(‖a‖ ‖b‖)       (1)

    In many dimensions a standard normal code is nearly as long as √d, and the middle of a straight
    path is shorter than any: this path keeps the length of its ends. Where they point the same way
    or opposite ways no angle is to be divided, and the path is straight.

    Args:
        start: a, not zero.
        end: b, not zero.
        steps: codes on the way, with both ends.

    Returns:
        z.

    Raises:
        UserError: the ends are of different shapes, or there are fewer than two steps.

    Example:
        >>> path = spherical_path(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 3)
        >>> jnp.linalg.norm(path, axis=-1).round(4).tolist()
        [1.0, 1.0, 1.0]

    Source: Shoemake, 1985, https://doi.org/10.1145/325334.325242, section 3.3; of codes, White,
    2016, https://arxiv.org/abs/1609.04468.
    """
    t = _times(start, end, steps)
    lengths = jnp.linalg.norm(start, axis=-1) * jnp.linalg.norm(end, axis=-1)
    cosine = (start * end).sum(-1) / jnp.maximum(lengths, 1e-12)
    bent = jnp.abs(cosine) < 1 - 1e-6
    # Away from the ends of its range even where it is not used, so that nothing is infinite.
    angle = jnp.arccos(jnp.where(bent, cosine, 0.0))[..., None, None]
    path = jnp.sin((1 - t) * angle) * start[..., None, :] + jnp.sin(t * angle) * end[..., None, :]
    return jnp.where(bent[..., None, None], path / jnp.sin(angle), linear_path(start, end, steps))


def _times(start: Codes, end: OtherCodes, steps: int) -> Float[Array, "*ones steps 1"]:
    if start.shape != end.shape:
        raise UserError(f"a path needs ends of one shape, not {start.shape} and {end.shape}")
    if steps < 2:
        raise UserError(f"a path has at least two steps, its ends, not {steps}")
    return jnp.linspace(0, 1, steps).reshape(*(1 for _ in start.shape[:-1]), steps, 1)
