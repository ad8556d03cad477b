"""Noise schedules of discrete diffusion: how much of the signal is left after t steps."""

import numpy as np
from jaxtyping import Float


def linear_schedule(
    num_steps: int = 1000, first: float = 1e-4, last: float = 0.02
) -> Float[np.ndarray, " num_steps"]:
    """The schedule of DDPM (Ho et al., 2020, https://arxiv.org/abs/2006.11239, section 4).

        βₜ = β₁ + (β_T − β₁)(t − 1)/(T − 1)                                         (1)
        ᾱₜ = Πₛ₌₁ᵗ (1 − βₛ)                                                         (2)

    Args:
        num_steps: T.
        first: β₁.
        last: β_T.

    Returns:
        ᾱ₁ … ᾱ_T, the share of the signal's variance that is left, computed in float64.

    Example:
        >>> alpha_bar = linear_schedule()
        >>> round(float(alpha_bar[0]), 4), f"{alpha_bar[-1]:.2e}"
        (0.9999, '4.04e-05')
    """
    betas = np.linspace(first, last, num_steps, dtype=np.float64)
    return np.cumprod(1 - betas).astype(np.float32)


def cosine_schedule(
    num_steps: int = 1000, offset: float = 0.008, largest: float = 0.999
) -> Float[np.ndarray, " num_steps"]:
    """The cosine schedule (Nichol and Dhariwal, 2021, https://arxiv.org/abs/2102.09672, eq. 17).

        f(t) = cos²((t/T + s)/(1 + s) · π/2)                                        (1)
        βₜ = min(1 − f(t)/f(t − 1), β_max)                                          (2)
        ᾱₜ = Πₛ₌₁ᵗ (1 − βₛ)                                                         (3)

    Args:
        num_steps: T.
        offset: s, which keeps the first β from vanishing.
        largest: β_max, which keeps the last ones from 1.

    Returns:
        ᾱ₁ … ᾱ_T, computed in float64.

    Example:
        >>> alpha_bar = cosine_schedule(1000)
        >>> round(float(alpha_bar[499]), 2)
        0.49
    """
    t = np.arange(num_steps + 1, dtype=np.float64) / num_steps
    f = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], largest)
    return np.cumprod(1 - betas).astype(np.float32)
