"""Schedules of the learning rate."""

import jax.numpy as jnp
import optax


def with_warmup(schedule: optax.Schedule, steps: int) -> optax.Schedule:
    """Raises the rate linearly from zero before a schedule that counts from the beginning.

        η(n) = η₀(0) · n / w for n < w, then η₀(n)                                  (1)

    `optax.warmup_exponential_decay_schedule` and its like count from the end of the warm-up.

    Args:
        schedule: η₀.
        steps: w.

    Example:
        >>> schedule = with_warmup(optax.constant_schedule(0.5), 10)
        >>> [float(schedule(step)) for step in (0, 5, 10, 20)]
        [0.0, 0.25, 0.5, 0.5]

    Source: Goyal et al., 2017, https://arxiv.org/abs/1706.02677, section 2.2.
    """

    def warmed(step):
        return jnp.where(step < steps, schedule(0) * step / max(steps, 1), schedule(step))

    return warmed
