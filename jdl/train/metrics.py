"""Metrics as sums and counts, so that they add up over batches, devices and hosts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

Value = float | list[float]


class Mean(NamedTuple):
    """A mean that has not been divided yet.

        value = total / count                                                       (1)

    `total` and `count` may be vectors, for one value per class: an intersection over a union, a
    share of samples. Then the reported value is a list, and its mean is what curves show.
    """

    total: Float[Array, "*classes"]
    count: Float[Array, "*classes"]  # type: ignore[assignment]  # Not tuple's method.


class ExponentialMean(Mean):
    """A mean of logarithms, whose exponential is reported: perplexity, when they are nats.

    value = exp(total / count)                                                  (1)
    """


Metrics = dict[str, Mean]


def mean(
    values: Shaped[Array, "batch *rest"], mask: Float[Array, "batch *rest"] | None = None
) -> Mean:
    """Sums values and counts them, leaving out those that the mask marks as padding.

    Args:
        values: one value per example, or per token of each example.
        mask: 1 where a value counts, 0 where it is padding; all count when None.

    Returns:
        Their sum and count, in float32.

    Example:
        >>> import jax.numpy as jnp
        >>> mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0]))
        Mean(total=Array(4., dtype=float32), count=Array(2., dtype=float32))
    """
    values = values.astype(jnp.float32)
    if mask is None:
        return Mean(values.sum(), jnp.float32(values.size))
    return Mean((values * mask).sum(), mask.sum(dtype=jnp.float32))


def add(left: Metrics, right: Metrics) -> Metrics:
    """Adds two sets of metrics, sum to sum and count to count.

    Example:
        >>> import numpy as np
        >>> one = {"loss": Mean(np.float32(3), np.float32(2))}
        >>> compute(add(one, one))
        {'loss': 1.5}
    """
    return jax.tree.map(lambda a, b: a + b, left, right)


def compute(metrics: Metrics) -> dict[str, Value]:
    """Divides: the value of each metric as a float, or a list of floats for one per class.

    A class that was never counted is NaN, as is a metric over no example at all.

    Example:
        >>> import numpy as np
        >>> compute({"iou": Mean(np.array([1.0, 3.0]), np.array([2.0, 4.0]))})
        {'iou': [0.5, 0.75]}
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            name: np.divide(np.asarray(m.total, np.float64), np.asarray(m.count))
            for name, m in metrics.items()
        }
        return {
            name: (np.exp(v) if isinstance(metrics[name], ExponentialMean) else v).tolist()
            for name, v in values.items()
        }


def scalar(value: Value) -> float:
    """Gives the one number that stands for a metric: itself, or the mean over counted classes.

    Example:
        >>> scalar([0.5, float("nan"), 1.0])
        0.75
    """
    if isinstance(value, float):
        return value
    counted = [v for v in value if v == v]
    return sum(counted) / len(counted) if counted else float("nan")
