"""Samplers: from noise to an image, against the forward process."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jdl.diffusion.gaussian import to_noise

# (xₜ, t) → x̂₀, with t from 0 for one example each.
Denoiser = Callable[
    [Float[Array, "batch *shape"], Int[Array, " batch"]], Float[Array, "batch *shape"]
]


def ddim(
    denoise: Denoiser,
    keys: Key[Array, " batch"],
    shape: tuple[int, ...],
    alpha_bar: Float[np.ndarray, " num_steps"],
    steps: int,
    eta: float = 0.0,
) -> tuple[Float[Array, "batch *shape"], Float[Array, "steps batch *shape"]]:
    """Denoises in a few strides (Song et al., 2021, https://arxiv.org/abs/2010.02502, equation 12).

        σ = η √((1 − ᾱₛ)/(1 − ᾱₜ)) √(1 − ᾱₜ/ᾱₛ)                                     (1)
        xₛ = √ᾱₛ x̂₀ + √(1 − ᾱₛ − σ²) ε̂ + σ z                                        (2)

    from step t to an earlier step s. η = 0 is deterministic; η = 1 over all steps is the ancestral
    sampler of DDPM with its smaller variance.

    Args:
        denoise: (xₜ, t) → x̂₀.
        keys: one for each image to draw.
        shape: of an image.
        alpha_bar: ᾱ₁ … ᾱ_T.
        steps: strides, evenly spaced over T.
        eta: η.

    Returns:
        x₀ of each image, and x̂₀ as it was guessed at every stride.

    Example:
        >>> from jdl.diffusion.schedules import cosine_schedule
        >>> def always_one(noisy, t):
        ...     return jnp.ones_like(noisy)
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> images, guesses = ddim(always_one, keys, (2, 2), cosine_schedule(), steps=5)
        >>> images.shape, guesses.shape, bool((images == 1).all())
        ((3, 2, 2), (5, 3, 2, 2), True)
    """
    num_steps = len(alpha_bar)
    times = np.round(np.linspace(num_steps - 1, 0, steps)).astype(np.int32)
    here = alpha_bar[times]
    there = np.append(alpha_bar[times[1:]], np.float32(1.0))
    sigma = eta * np.sqrt((1 - there) / (1 - here)) * np.sqrt(1 - here / there)

    def draw(stride: Int[Array, ""]) -> Float[Array, "batch *shape"]:
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, stride), shape))(keys)

    def step(noisy, x):
        stride, t, here, there, sigma = x
        image = denoise(noisy, jnp.full((len(keys),), t))
        noise = to_noise(image, noisy, here)
        direction = jnp.sqrt(jnp.maximum(1 - there - sigma**2, 0.0)) * noise
        return jnp.sqrt(there) * image + direction + sigma * draw(stride), image

    strides = jnp.arange(1, steps + 1)
    start = draw(jnp.int32(0))
    return jax.lax.scan(step, start, (strides, times, here, there, sigma.astype(np.float32)))
