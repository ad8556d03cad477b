"""Denoising score matching: what a network's prediction has to be near to."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jdl.diffusion.gaussian import Prediction, Scales, Weighting, diffuse, target
from jdl.diffusion.processes import SDE, Process
from jdl.errors import UserError


def denoising_loss(
    network: Callable[[Array, Array], Array],
    process: Process,
    images: Float[Array, "batch *shape"],
    noise: Float[Array, "batch *shape"],
    t: Num[Array, " batch"],
    prediction: Prediction = "noise",
    weighting: Weighting = "simple",
) -> Float[Array, " batch"]:
    """Measures how far a network is from what it is asked for in noisy images.

        xₜ = a x₀ + s ε                                                             (1)
        L = λ(t) ‖f(xₜ, t) − ∇ log p(xₜ|x₀)‖²/D,  with f as a score                 (2)
        λ = s² (variance),  λ = g² (likelihood)                                     (3)
        L = ‖f(xₜ, t) − y‖²/D,  y what f predicts (simple)                          (4)

    Its minimum is the score of p(xₜ), whatever λ (Vincent, 2011). (4) with y = ε is (2) with s².
    Averaged over t, g² makes (2) a bound on the likelihood (Song, Durkan et al., 2021).

    Args:
        network: (xₜ, what the process tells networks of t) → prediction.
        process: gives a, s and g.
        images: x₀.
        noise: ε.
        t: of each image.
        prediction: what the network is asked for.
        weighting: "simple" as Ho et al., 2020, equation 14; "variance" as Song and Ermon, 2019,
            equation 6; "likelihood" as Song, Durkan et al., 2021, equation 7.

    Returns:
        L of each image; D is how many numbers it has.

    Raises:
        UserError: the likelihood's weights are asked for in discrete time, where there is no g.

    Source: Vincent, 2011, https://doi.org/10.1162/NECO_a_00142; https://arxiv.org/abs/2006.11239;
    https://arxiv.org/abs/1907.05600; https://arxiv.org/abs/2101.09258.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> silent = lambda noisy, timesteps: jnp.zeros_like(noisy)
        >>> x, noise, t = jnp.zeros((2, 3)), jnp.ones((2, 3)), jnp.array([0.1, 0.9])
        >>> denoising_loss(silent, VariancePreserving(), x, noise, t).tolist()
        [1.0, 1.0]
    """
    scales = process.scales(t).over(images)
    noisy = diffuse(images, noise, scales)
    wanted = target(images, noise, scales, prediction)
    errors = jnp.square(network(noisy, process.timesteps(t)) - wanted)
    losses = errors.reshape(len(images), -1).mean(-1)
    return losses if weighting == "simple" else weight(process, t, prediction, weighting) * losses


def weight(
    process: Process, t: Num[Array, "*times"], prediction: Prediction, weighting: Weighting
) -> Float[Array, "*times"]:
    """Says how much a squared error of what a network predicts counts.

        λ c²,  c = |∂ score/∂ prediction|:                                          (1)
        c = 1/s (noise), a/s² (image), a/(s (a² + s²)) (velocity), 1 (score)        (2)

    Args:
        process: gives a, s and g.
        t: time.
        prediction: what the network predicts.
        weighting: λ: s² or g²; "simple" counts every error once.

    Returns:
        (1).

    Raises:
        UserError: g is asked for in discrete time.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> weight(VarianceExploding(), jnp.array(0.5), "noise", "variance").round(4).tolist()
        1.0
    """
    signal, noise = process.scales(t)
    match weighting:
        case "simple":
            return jnp.ones_like(noise)
        case "variance":
            return jnp.square(noise * _slope(Scales(signal, noise), prediction))
    if not isinstance(process, SDE):
        raise UserError(
            "the likelihood's weights are those of a process in continuous time; "
            f"{type(process).__name__} is none"
        )
    return jnp.square(process.diffusion(t) * _slope(Scales(signal, noise), prediction))


def _slope(scales: Scales, prediction: Prediction) -> Array:
    """Returns (2)."""
    signal, noise = scales
    match prediction:
        case "noise":
            return 1 / noise
        case "image":
            return signal / noise**2
        case "velocity":
            return signal / (noise * (signal**2 + noise**2))
        case "score":
            return jnp.ones_like(noise)
