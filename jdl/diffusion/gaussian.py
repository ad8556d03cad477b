"""The Gaussian forward process, and the three equivalent things that a network may predict."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

Prediction = Literal["noise", "image", "velocity"]


def diffuse(
    image: Float[Array, "*shape"], noise: Float[Array, "*shape"], alpha_bar: Float[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    """Jumps from a clean image to step t at once (Ho et al., 2020, equation 4).

        xₜ = √ᾱₜ x₀ + √(1 − ᾱₜ) ε                                                   (1)

    Args:
        image: x₀.
        noise: ε, standard normal.
        alpha_bar: ᾱₜ, broadcast against the image.

    Returns:
        xₜ.

    Example:
        >>> diffuse(jnp.ones(2), jnp.zeros(2), jnp.full(2, 0.25)).tolist()
        [0.5, 0.5]
    """
    return jnp.sqrt(alpha_bar) * image + jnp.sqrt(1 - alpha_bar) * noise


def target(
    image: Float[Array, "*shape"],
    noise: Float[Array, "*shape"],
    alpha_bar: Float[Array, "*#shape"],
    prediction: Prediction,
) -> Float[Array, "*shape"]:
    """What the network is asked for.

        ε, or x₀, or v = √ᾱₜ ε − √(1 − ᾱₜ) x₀                                       (1)

    Args:
        image: x₀.
        noise: ε.
        alpha_bar: ᾱₜ, broadcast against the image.
        prediction: which of the three; "velocity" is that of Salimans and Ho, 2022,
            https://arxiv.org/abs/2202.00512, appendix D.

    Returns:
        The target.

    Example:
        >>> target(jnp.ones(1), jnp.zeros(1), jnp.zeros(1), "velocity").tolist()
        [-1.0]
    """
    match prediction:
        case "noise":
            return noise
        case "image":
            return image
        case "velocity":
            return jnp.sqrt(alpha_bar) * noise - jnp.sqrt(1 - alpha_bar) * image


def to_image(
    predicted: Float[Array, "*shape"],
    noisy: Float[Array, "*shape"],
    alpha_bar: Float[Array, "*#shape"],
    prediction: Prediction,
) -> Float[Array, "*shape"]:
    """Solves for the clean image that a prediction implies.

        x̂₀ = (xₜ − √(1 − ᾱₜ) ε̂)/√ᾱₜ = √ᾱₜ xₜ − √(1 − ᾱₜ) v̂                         (1)

    Args:
        predicted: what the network said.
        noisy: xₜ.
        alpha_bar: ᾱₜ, broadcast against the image.
        prediction: what it was asked for.

    Returns:
        x̂₀.

    Example:
        >>> image, noise, alpha_bar = jnp.array([0.3]), jnp.array([-1.2]), jnp.array([0.6])
        >>> noisy = diffuse(image, noise, alpha_bar)
        >>> velocity = target(image, noise, alpha_bar, "velocity")
        >>> round(float(to_image(velocity, noisy, alpha_bar, "velocity")[0]), 4)
        0.3
    """
    match prediction:
        case "noise":
            return (noisy - jnp.sqrt(1 - alpha_bar) * predicted) / jnp.sqrt(alpha_bar)
        case "image":
            return predicted
        case "velocity":
            return jnp.sqrt(alpha_bar) * noisy - jnp.sqrt(1 - alpha_bar) * predicted


def to_noise(
    image: Float[Array, "*shape"], noisy: Float[Array, "*shape"], alpha_bar: Float[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    """Solves for the noise between a clean image and a noisy one.

        ε̂ = (xₜ − √ᾱₜ x̂₀)/√(1 − ᾱₜ)                                                (1)

    Args:
        image: x̂₀.
        noisy: xₜ.
        alpha_bar: ᾱₜ < 1, broadcast against the image.

    Returns:
        ε̂.

    Example:
        >>> to_noise(jnp.zeros(1), jnp.array([0.5]), jnp.array([0.75])).tolist()
        [1.0]
    """
    return (noisy - jnp.sqrt(alpha_bar) * image) / jnp.sqrt(1 - alpha_bar)
