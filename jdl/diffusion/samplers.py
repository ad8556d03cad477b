"""Samplers that go step by step: from noise to an image, against the forward process.

Every sampler, these and those in `reverse`, takes a denoiser, the process, what to start with and
a key for each image; it returns the images, and the clean images that it guessed on the way. It is
one `lax.scan`: compiled once, whatever the number of steps. No sample depends on its neighbours.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.diffusion.denoisers import Denoiser
from jdl.diffusion.gaussian import Scales, to_noise
from jdl.diffusion.processes import Process, draw

Images = Float[Array, "batch *shape"]
Guesses = Float[Array, "steps batch *shape"]
Keys = Key[Array, " batch"]
Sampler = Callable[[Denoiser, Process, Images, Keys], tuple[Images, Guesses]]


def ancestral(
    denoise: Denoiser,
    process: Process,
    start: Images,
    keys: Keys,
    steps: int = 1000,
    variance: Literal["small", "large"] = "small",
) -> tuple[Images, Guesses]:
    """Walks back along the chain (Ho et al., 2020, https://arxiv.org/abs/2006.11239, algorithm 2).

        α = aₜ/aₛ,  β = sₜ² − α² sₛ²                                                (1)
        μ = (aₛ β/sₜ²) x̂₀ + (α sₛ²/sₜ²) xₜ                                          (2)
        xₛ = μ + σ z,  σ² = β (large), or β̃ = β sₛ²/sₜ² (small)                     (3)

    from time t to an earlier time s, x̂₀ itself in the end. The variances are those for data that
    is standard normal, and that is one point (section 3.2); the small one is the posterior's.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives the scales a and s, and the times.
        start: noise, as `process.prior` draws it.
        keys: one for each image.
        steps: evenly spaced over the process.
        variance: which of the two σ².

    Returns:
        x₀ of each image, and x̂₀ as it was guessed at every step.

    Raises:
        UserError: more steps than a discrete process has.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> always_one = lambda noisy, t: jnp.ones_like(noisy)
        >>> images, guesses = ancestral(
        ...     always_one, VarianceExploding(), jnp.zeros((3, 2)), keys, steps=5
        ... )
        >>> images.tolist(), guesses.shape
        ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], (5, 3, 2))
    """
    times, here, there = _strides(process, steps)

    def step(noisy, x):
        stride, t, here, there = x
        image = denoise(noisy, jnp.full((len(keys),), t))
        alpha, beta = _transition(here, there)
        posterior = beta * there.noise**2 / here.noise**2
        mean = there.signal * beta / here.noise**2 * image
        mean += alpha * there.noise**2 / here.noise**2 * noisy
        # The last step, to an image without noise, adds none.
        sigma = jnp.sqrt(jnp.where(there.noise > 0, beta, 0)) if variance == "large" else None
        sigma = jnp.sqrt(posterior) if sigma is None else sigma
        return mean + sigma * draw(keys, stride, start.shape[1:]), image

    return jax.lax.scan(step, start, (jnp.arange(1, steps + 1), times, here, there))


def ddim(
    denoise: Denoiser,
    process: Process,
    start: Images,
    keys: Keys,
    steps: int = 50,
    eta: float = 0.0,
) -> tuple[Images, Guesses]:
    """Denoises in a few strides (Song et al., 2021, https://arxiv.org/abs/2010.02502, equation 12).

        σ = η (sₛ/sₜ) √(sₜ² − (aₜ/aₛ)² sₛ²)                                         (1)
        xₛ = aₛ x̂₀ + √(sₛ² − σ²) ε̂ + σ z                                            (2)

    from time t to an earlier time s. η = 0 is deterministic; η = 1 over all steps is the ancestral
    sampler of DDPM with its smaller variance.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives the scales a and s, and the times.
        start: noise, as `process.prior` draws it.
        keys: one for each image.
        steps: strides, evenly spaced over the process.
        eta: η.

    Returns:
        x₀ of each image, and x̂₀ as it was guessed at every stride.

    Raises:
        UserError: more steps than a discrete process has.

    Example:
        >>> from jdl.diffusion.processes import Discrete
        >>> from jdl.diffusion.schedules import cosine_schedule
        >>> def always_one(noisy, t):
        ...     return jnp.ones_like(noisy)
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> process = Discrete(cosine_schedule())
        >>> noise = process.prior(keys, (2, 2))
        >>> images, guesses = ddim(always_one, process, noise, keys, steps=5)
        >>> images.shape, guesses.shape, bool((images == 1).all())
        ((3, 2, 2), (5, 3, 2, 2), True)
    """
    times, here, there = _strides(process, steps)

    def step(noisy, x):
        stride, t, here, there = x
        image = denoise(noisy, jnp.full((len(keys),), t))
        noise = to_noise(image, noisy, here)
        sigma = eta * there.noise / here.noise * jnp.sqrt(_transition(here, there)[1])
        direction = jnp.sqrt(jnp.maximum(there.noise**2 - sigma**2, 0.0)) * noise
        # Where no noise is added, none is drawn.
        fresh = sigma * draw(keys, stride, start.shape[1:]) if eta else 0.0
        return there.signal * image + direction + fresh, image

    return jax.lax.scan(step, start, (jnp.arange(1, steps + 1), times, here, there))


def ddim_encode(denoise: Denoiser, process: Process, images: Images, steps: int = 50) -> Images:
    """Finds the noise that deterministic DDIM would make an image of, approximately.

        xₛ = aₛ x̂₀ + sₛ ε̂,  s > t                                                   (1)

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives the scales a and s, and the times.
        images: x₀.
        steps: strides, evenly spaced over the process.

    Returns:
        x at the latest time.

    Raises:
        UserError: more steps than a discrete process has.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> process, keys = VariancePreserving(), jax.random.split(jax.random.key(0), 2)
        >>> def shrink(noisy, t):  # exact for images that are normal, of variance 1
        ...     return process.scales(t).over(noisy).signal * noisy
        >>> codes = ddim_encode(shrink, process, jnp.ones((2, 3)), steps=200)
        >>> images, _ = ddim(shrink, process, codes, keys, steps=200)
        >>> bool(abs(images - 1).max() < 0.02)
        True

    Source: Song et al., 2021, https://arxiv.org/abs/2010.02502, section 4.3.
    """
    times, scales, _ = _strides(process, steps)
    backwards = jax.tree.map(lambda x: x[::-1], (times[1:], scales))
    here, there = (jax.tree.map(lambda x, s=s: x[s], backwards[1]) for s in _NEIGHBOURS)

    def step(noisy, x):
        t, here, there = x
        image = denoise(noisy, jnp.full((len(images),), t))
        return there.signal * image + there.noise * to_noise(image, noisy, here), None

    start = scales.signal[-1] * images
    return jax.lax.scan(step, start, (backwards[0], here, there))[0]


_NEIGHBOURS = slice(None, -1), slice(1, None)


def _strides(process: Process, steps: int) -> tuple[Array, Scales, Scales]:
    """Returns the times, their scales, and those that each stride leads to: an image at the end."""
    times = jnp.asarray(process.times(steps))
    here = process.scales(times)
    return times, here, Scales(jnp.append(here.signal[1:], 1.0), jnp.append(here.noise[1:], 0.0))


def _transition(here: Scales, there: Scales) -> tuple[Array, Array]:
    """Returns factor and variance of the forward process between two times, α and β."""
    alpha = here.signal / there.signal
    return alpha, jnp.maximum(here.noise**2 - (alpha * there.noise) ** 2, 0.0)
