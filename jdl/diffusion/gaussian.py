"""The Gaussian forward process, and the four equivalent things that a network may predict."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

Prediction = Literal["noise", "image", "velocity", "score"]
Weighting = Literal["simple", "variance", "likelihood"]


class Scales(NamedTuple):
    """How much of the image and how much noise there is at time t, a(t) and s(t).

        xₜ = a(t) x₀ + s(t) ε,  ε ~ N(0, I)                                         (1)

    Example:
        >>> Scales(jnp.float32(0.8), jnp.float32(0.6)).over(jnp.zeros(4)).noise.shape
        (1,)
    """

    signal: Shaped[Array, "*times"]
    noise: Shaped[Array, "*times"]

    def over(self, images: Float[Array, "*shape"]) -> "Scales":
        """Returns the same scales with axes of length one, to go with every number of an image."""
        axes = range(jnp.ndim(self.signal), images.ndim)
        signal, noise = (jnp.expand_dims(x, tuple(axes)) for x in self)
        return Scales(signal, noise)


def diffuse(
    image: Float[Array, "*shape"], noise: Float[Array, "*shape"], scales: Scales
) -> Float[Array, "*shape"]:
    """Jumps from a clean image to time t at once (Ho et al., 2020, equation 4).

        xₜ = a x₀ + s ε                                                             (1)

    Args:
        image: x₀.
        noise: ε, standard normal.
        scales: a and s, broadcast against the image.

    Returns:
        xₜ.

    Example:
        >>> diffuse(jnp.ones(2), jnp.zeros(2), Scales(jnp.full(1, 0.5), jnp.ones(1))).tolist()
        [0.5, 0.5]
    """
    return scales.signal * image + scales.noise * noise


def target(
    image: Float[Array, "*shape"],
    noise: Float[Array, "*shape"],
    scales: Scales,
    prediction: Prediction,
) -> Float[Array, "*shape"]:
    """What the network is asked for.

        ε, or x₀, or v = a ε − s x₀, or ∇ log p(xₜ|x₀) = −ε/s                       (1)

    Args:
        image: x₀.
        noise: ε.
        scales: a and s, broadcast against the image.
        prediction: which of the four; "velocity" is that of Salimans and Ho, 2022,
            https://arxiv.org/abs/2202.00512, appendix D.

    Returns:
        The target.

    Example:
        >>> scales = Scales(jnp.zeros(1), jnp.ones(1))
        >>> target(jnp.ones(1), jnp.zeros(1), scales, "velocity").tolist()
        [-1.0]
    """
    match prediction:
        case "noise":
            return noise
        case "image":
            return image
        case "velocity":
            return scales.signal * noise - scales.noise * image
        case "score":
            return -noise / scales.noise


def to_image(
    predicted: Float[Array, "*shape"],
    noisy: Float[Array, "*shape"],
    scales: Scales,
    prediction: Prediction,
) -> Float[Array, "*shape"]:
    """Solves for the clean image that a prediction implies.

        x̂₀ = (xₜ − s ε̂)/a = (a xₜ − s v̂)/(a² + s²) = (xₜ + s² ∇ log p)/a             (1)

    The last is Tweedie's formula.

    Args:
        predicted: what the network said.
        noisy: xₜ.
        scales: a and s, broadcast against the image.
        prediction: what it was asked for.

    Returns:
        x̂₀.

    Example:
        >>> image, noise = jnp.array([0.3]), jnp.array([-1.2])
        >>> scales = Scales(jnp.array([0.8]), jnp.array([0.6]))
        >>> noisy = diffuse(image, noise, scales)
        >>> velocity = target(image, noise, scales, "velocity")
        >>> round(float(to_image(velocity, noisy, scales, "velocity")[0]), 4)
        0.3
    """
    signal, spread = scales
    match prediction:
        case "noise":
            return (noisy - spread * predicted) / signal
        case "image":
            return predicted
        case "velocity":
            return (signal * noisy - spread * predicted) / (signal**2 + spread**2)
        case "score":
            return (noisy + spread**2 * predicted) / signal


def to_noise(
    image: Float[Array, "*shape"], noisy: Float[Array, "*shape"], scales: Scales
) -> Float[Array, "*shape"]:
    """Solves for the noise between a clean image and a noisy one.

        ε̂ = (xₜ − a x̂₀)/s                                                           (1)

    Args:
        image: x̂₀.
        noisy: xₜ.
        scales: a and s > 0, broadcast against the image.

    Returns:
        ε̂.

    Example:
        >>> scales = Scales(jnp.array([0.8]), jnp.array([0.5]))
        >>> to_noise(jnp.zeros(1), jnp.array([0.5]), scales).tolist()
        [1.0]
    """
    return (noisy - scales.signal * image) / scales.noise


def to_score(
    image: Float[Array, "*shape"], noisy: Float[Array, "*shape"], scales: Scales
) -> Float[Array, "*shape"]:
    """Says in which direction the density of noisy images grows, given a guess of the clean one.

        ∇ log pₜ(xₜ) = (a x̂₀ − xₜ)/s² = −ε̂/s,  x̂₀ = E[x₀ | xₜ]                       (1)

    Args:
        image: x̂₀.
        noisy: xₜ.
        scales: a and s > 0, broadcast against the image.

    Returns:
        The score.

    Example:
        >>> scales = Scales(jnp.array([1.0]), jnp.array([0.5]))
        >>> to_score(jnp.zeros(1), jnp.array([0.5]), scales).tolist()
        [-2.0]

    Source: Efron, 2011, https://doi.org/10.1198/jasa.2011.tm11181; Song and Ermon, 2019,
    https://arxiv.org/abs/1907.05600, section 4.2.
    """
    return (scales.signal * image - noisy) / scales.noise**2
