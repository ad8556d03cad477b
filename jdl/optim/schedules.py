"""Schedules of the learning rate that optax lacks.

It has the lectures' step decay, γ₀ κᵗ in epochs t (`optax.exponential_decay(γ₀, steps_per_epoch, κ,
staircase=True)`), exponential decay, γ₀ exp(−κ t) (the same, without stairs, by exp(−κ)), and the
cosine (`optax.cosine_decay_schedule`).
"""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jdl.errors import UserError

# A sweep tries several in one program: then it is traced.
Rate = float | Float[Array, ""]


def time_based(initial: Rate, decay: Rate, steps: int = 1) -> optax.Schedule:
    """Lowers the rate in inverse proportion to time: search, then converge.

        γ(n) = γ₀ / (1 + κ n / s)                                                   (1)

    Args:
        initial: γ₀.
        decay: κ.
        steps: s, updates in the unit of time: those of an epoch, in the lectures.

    Example:
        >>> schedule = time_based(0.8, 1.0, steps=10)
        >>> [round(float(schedule(step)), 3) for step in (0, 10, 30)]
        [0.8, 0.4, 0.2]

    Source: Darken and Moody, 1990, https://papers.nips.cc/paper/400.
    """
    return lambda step: initial / (1 + decay * step / steps)


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


def warmup_cosine(
    peak: Rate, warmup_steps: int, num_steps: int, *, start: float = 0.0, end: float = 0.0
) -> optax.Schedule:
    """Raises the rate linearly, then lowers it along half a period of a cosine.

        η(n) = s + (p − s) · n / w for n < w,                                       (1)
        η(n) = e + (p − e) · (1 + cos(π (n − w) / (N − w))) / 2 from there to N      (2)

    Args:
        peak: p.
        warmup_steps: w.
        num_steps: N, the updates of the whole run.
        start: s.
        end: e.

    Raises:
        UserError: the run is not longer than its warm-up.

    Example:
        >>> schedule = warmup_cosine(1.0, 10, 30)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 20, 30)]
        [0.0, 0.5, 1.0, 0.5, 0.0]

    Source: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983, equation 5.
    """
    if num_steps <= warmup_steps:
        raise UserError(
            f"a run of {num_steps} updates is over before its warm-up of {warmup_steps} is: "
            "train longer, or warm up for less"
        )
    # `optax.warmup_cosine_decay_schedule` asks whether the peak is zero, which no trace knows.
    share = end / peak if end else 0.0
    return optax.join_schedules(
        [
            optax.linear_schedule(start, peak, warmup_steps),
            optax.cosine_decay_schedule(peak, num_steps - warmup_steps, share),
        ],
        [warmup_steps],
    )


def warmup_stable_decay(
    peak: Rate, warmup_steps: int, decay_steps: int, num_steps: int
) -> optax.Schedule:
    """Raises the rate linearly, keeps it, and lowers it to zero along half a period of a cosine.

        η(n) = p · n / w for n < w, p until N − d,                                  (1)
        η(n) = p · (1 + cos(π (n − N + d) / d)) / 2 from there to N                 (2)

    Args:
        peak: p.
        warmup_steps: w.
        decay_steps: d.
        num_steps: N, the updates of the whole run.

    Raises:
        UserError: the run is not longer than its warm-up and its decay.

    Example:
        >>> schedule = warmup_stable_decay(1.0, 10, 20, 100)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 50, 80, 90, 100)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]

    Source: Hu et al., 2024, https://arxiv.org/abs/2404.06395, section 4.
    """
    if num_steps <= warmup_steps + decay_steps:
        raise UserError(
            f"a run of {num_steps} updates has no room for a warm-up of {warmup_steps} and a decay "
            f"of {decay_steps}: train longer"
        )
    return optax.join_schedules(
        [
            optax.linear_schedule(0.0, peak, warmup_steps),
            optax.constant_schedule(peak),
            optax.cosine_decay_schedule(peak, decay_steps),
        ],
        [warmup_steps, num_steps - decay_steps],
    )


def noam(width: int, warmup_steps: int, factor: Rate = 1.0) -> optax.Schedule:
    """Raises the rate linearly, then lowers it with the inverse square root of the step.

        η(n) = f · d^−½ · min(m^−½, m · w^−3/2),  m = n + 1                         (1)

    The paper's first step is 1, optax's is 0.

    Args:
        width: d, of the Transformer.
        warmup_steps: w, at least 1.
        factor: f; 1 in the paper.

    Raises:
        UserError: no warm-up.

    Example:
        >>> schedule = noam(512, 4000)
        >>> [round(float(schedule(step)), 6) for step in (0, 3999, 15_999)]
        [0.0, 0.000699, 0.000349]

    Source: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, equation 3.
    """
    if warmup_steps < 1:
        raise UserError(f"Noam's schedule needs a warm-up of at least 1 step, not {warmup_steps}")

    def schedule(step):
        step = step + 1
        return factor * width**-0.5 * jnp.minimum(step**-0.5, step * warmup_steps**-1.5)

    return schedule
