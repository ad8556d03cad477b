"""Denoisers: from a network's prediction to a guess of the clean image, guided or tied."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jdl.diffusion.gaussian import Prediction, to_image, to_score
from jdl.diffusion.processes import Process
from jdl.errors import UserError

# (xₜ, t) → x̂₀ = E[x₀ | xₜ], with a time for each example: what every sampler asks.
Denoiser = Callable[
    [Float[Array, "batch *shape"], Num[Array, " batch"]], Float[Array, "batch *shape"]
]


def denoiser(
    network: Callable[[Array, Array], Array],
    process: Process,
    prediction: Prediction,
) -> Denoiser:
    """Makes a denoiser of a network, whatever it was asked for.

    Args:
        network: (xₜ, what the process tells networks of t) → prediction.
        process: that the network was trained on.
        prediction: what it was asked for.

    Returns:
        The denoiser.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> says_nothing = lambda noisy, timesteps: jnp.zeros_like(noisy)
        >>> denoise = denoiser(says_nothing, VarianceExploding(), "noise")
        >>> denoise(jnp.array([[0.5], [3.0]]), jnp.ones(2)).ravel().tolist()
        [0.5, 3.0]
    """

    def denoise(noisy, t):
        predicted = network(noisy, process.timesteps(t))
        return to_image(predicted, noisy, process.scales(t).over(noisy), prediction)

    return denoise


def bounded(denoise: Denoiser, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """Keeps guesses where images are known to lie: early ones would otherwise run away.

    Args:
        denoise: (xₜ, t) → x̂₀.
        low: the least value of an image.
        high: the largest.

    Returns:
        The denoiser; it is no gradient of a density any more.

    Example:
        >>> bounded(lambda noisy, t: noisy)(jnp.array([0.5, 3.0]), jnp.zeros(2)).tolist()
        [0.5, 1.0]
    """
    return lambda noisy, t: jnp.clip(denoise(noisy, t), low, high)


def score_of(denoise: Denoiser, process: Process) -> Denoiser:
    """Makes the score of a denoiser: (xₜ, t) → ∇ log pₜ(xₜ).

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives the scales of t.

    Returns:
        The score.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> score = score_of(lambda noisy, t: jnp.zeros_like(noisy), VariancePreserving())
        >>> score(jnp.ones((1, 2)), jnp.ones(1)).round(3).tolist()
        [[-1.0, -1.0]]
    """

    def score(noisy, t):
        return to_score(denoise(noisy, t), noisy, process.scales(t).over(noisy))

    return score


def guided(conditional: Denoiser, other: Denoiser, weight: float | Array) -> Denoiser:
    """Goes further the way that leads from one denoiser to a better one.

        x̂₀ = x̂₀ᶜ + w (x̂₀ᶜ − x̂₀ᵒ)                                                    (1)

    With the same network that is told no condition as the other one, this is classifier-free
    guidance (Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598, equation 6; w + 1 is often
    called the guidance scale); with an earlier version of the network, autoguidance (Karras et
    al., 2024, https://arxiv.org/abs/2406.02507, equation 3). Noise, velocity and score are affine
    in x̂₀, so they are guided by the same weight.

    Args:
        conditional: what to believe.
        other: what to lead away from.
        weight: w; the number 0 for no guidance, and no second pass.

    Returns:
        The denoiser (1).

    Example:
        >>> better, worse = (lambda noisy, t, v=v: jnp.full_like(noisy, v) for v in (1.0, 0.5))
        >>> guided(better, worse, 3.0)(jnp.zeros(1), jnp.zeros(1)).tolist()
        [2.5]
    """
    if isinstance(weight, int | float) and weight == 0:
        return conditional

    def denoise(noisy, t):
        image = conditional(noisy, t)
        return image + weight * (image - other(noisy, t))

    return denoise


def inpainting(
    denoise: Denoiser, known: Float[Array, "batch *shape"], mask: Num[Array, "..."]
) -> Denoiser:
    """Ties a denoiser to the part of images that is known, for any sampler to fill the rest.

        x̂₀ ← m x₀ + (1 − m) x̂₀                                                      (1)

    This is the replacement method (Song et al., 2021, https://arxiv.org/abs/2011.13456, appendix
    I.2): with (1), the known part goes back along one path of its own forward process, instead of a
    new draw of it at each step. What fills the rest sees the known part only through noise, so
    the two agree approximately; RePaint's resampling (Lugmayr et al., 2022) is not done.

    Args:
        denoise: (xₜ, t) → x̂₀.
        known: x₀, of any value where it is not known.
        mask: m, 1 where it is known and 0 elsewhere.

    Returns:
        The denoiser (1).

    Raises:
        UserError: the mask is not of the images' shape.

    Example:
        >>> guess = lambda noisy, t: jnp.full_like(noisy, 7.0)
        >>> fill = inpainting(guess, jnp.array([[1.0, 0.0]]), jnp.array([[1, 0]]))
        >>> fill(jnp.zeros((1, 2)), jnp.zeros(1)).tolist()
        [[1.0, 7.0]]
        >>> inpainting(guess, jnp.zeros((1, 2)), jnp.ones((1, 3)))
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: the mask has the shape 1×3, the images to fill have 1×2
    """
    if mask.shape != known.shape:
        theirs, ours = ("×".join(map(str, x.shape)) for x in (mask, known))
        raise UserError(f"the mask has the shape {theirs}, the images to fill have {ours}")

    def tied(noisy, t):
        return jnp.where(mask > 0, known, denoise(noisy, t))

    return tied
