"""Samplers in continuous time: Langevin dynamics, the reverse SDE, the probability flow."""

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.diffusion.denoisers import Denoiser, score_of
from jdl.diffusion.processes import SDE, Process, draw
from jdl.diffusion.samplers import Guesses, Images, Keys


def annealed_langevin(
    denoise: Denoiser,
    process: Process,
    start: Images,
    keys: Keys,
    levels: int = 10,
    steps: int = 100,
    rate: float = 0.2,
) -> tuple[Images, Guesses]:
    """Walks at random, on average uphill, at one level of noise after the other.

        α = r s(t)²                                                                 (1)
        x ← x + ½ α ∇ log pₜ(x) + √α z                                              (2)

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives the levels; in the paper, geometric ones as of `VarianceExploding`.
        start: noise, as `process.prior` draws it.
        keys: one for each image.
        levels: how many, evenly spaced in time.
        steps: at each level.
        rate: r; in the paper 2·10⁻⁵/0.01².

    Returns:
        x̂₀ of each image after the last level, and before each level.

    Source: Song and Ermon, 2019, https://arxiv.org/abs/1907.05600, algorithm 1; the jump to x̂₀ in
    the end is that of Jolicoeur-Martineau et al., 2021, https://arxiv.org/abs/2009.05475.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> process, keys = VarianceExploding(), jax.random.split(jax.random.key(0), 2)
        >>> always_one = lambda noisy, t: jnp.ones_like(noisy)
        >>> annealed_langevin(always_one, process, jnp.zeros((2, 1)), keys)[0].tolist()
        [[1.0], [1.0]]
    """

    def level(noisy, x):
        number, t = x
        t = jnp.full((len(keys),), t)
        guess = denoise(noisy, t)
        return _langevin(denoise, process, noisy, t, keys, number * steps, steps, rate), guess

    times = jnp.asarray(process.times(levels))
    noisy, guesses = jax.lax.scan(level, start, (jnp.arange(levels), times))
    return denoise(noisy, jnp.full((len(keys),), times[-1])), guesses


def euler_maruyama(
    denoise: Denoiser, process: SDE, start: Images, keys: Keys, steps: int = 1000
) -> tuple[Images, Guesses]:
    """Solves the SDE that runs the process backwards (Song et al., 2021, equation 6).

        dx = (f(x, t) − g(t)² ∇ log pₜ(x)) dt + g(t) dw̄                              (1)

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives f and g.
        start: noise, as `process.prior` draws it.
        keys: one for each image.
        steps: of equal length, from t = 1; the last jumps to x̂₀.

    Returns:
        x₀ of each image, and x̂₀ as it was guessed at every step.

    Source: https://arxiv.org/abs/2011.13456; Anderson, 1982,
    https://doi.org/10.1016/0304-4149(82)90051-5.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> process, keys = VariancePreserving(), jax.random.split(jax.random.key(0), 2)
        >>> always_one = lambda noisy, t: jnp.ones_like(noisy)
        >>> images, guesses = euler_maruyama(always_one, process, jnp.zeros((2, 1)), keys, steps=20)
        >>> images.tolist(), guesses.shape
        ([[1.0], [1.0]], (20, 2, 1))
    """
    return predictor_corrector(denoise, process, start, keys, steps, corrections=0)


def predictor_corrector(
    denoise: Denoiser,
    process: SDE,
    start: Images,
    keys: Keys,
    steps: int = 1000,
    corrections: int = 1,
    snr: float = 0.16,
) -> tuple[Images, Guesses]:
    """Follows each step of the reverse SDE by Langevin steps at the time that it leads to.

        x ← x − (f(x, t) − g(t)² ∇ log pₜ(x)) Δ + g(t) √Δ z,  t ← t − Δ             (1)
        x ← x + ε ∇ log pₜ(x) + √(2ε) z,  ε = 2 (r s(t))²                           (2)

    The paper has r ‖z‖/‖∇ log p‖ in (2), the norms averaged over the batch. s is what that ratio
    expects to be, so that no sample depends on its neighbours.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives f, g and s.
        start: noise, as `process.prior` draws it.
        keys: one for each image.
        steps: of equal length, from t = 1; the last jumps to x̂₀.
        corrections: Langevin steps after each.
        snr: r.

    Returns:
        x₀ of each image, and x̂₀ as it was guessed at every step.

    Source: Song et al., 2021, https://arxiv.org/abs/2011.13456, appendix G, algorithms 1, 4 and 5.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> process, keys = VarianceExploding(), jax.random.split(jax.random.key(0), 2)
        >>> always_one = lambda noisy, t: jnp.ones_like(noisy)
        >>> predictor_corrector(always_one, process, jnp.zeros((2, 1)), keys, steps=9)[0].tolist()
        [[1.0], [1.0]]
    """
    times = jnp.asarray(process.times(steps))
    score = score_of(denoise, process)

    def step(noisy, x):
        number, t, earlier = x
        length, first = t - earlier, number * (corrections + 1)
        t = jnp.full((len(keys),), t)
        guess = denoise(noisy, t)
        g = process.diffusion(t).reshape(-1, *[1] * (noisy.ndim - 1))
        noisy -= (process.drift(noisy, t) - g**2 * score(noisy, t)) * length
        noisy += g * jnp.sqrt(length) * draw(keys, first + 1, noisy.shape[1:])
        t = jnp.full((len(keys),), earlier)
        noisy = _langevin(denoise, process, noisy, t, keys, first + 1, corrections, rate=4 * snr**2)
        return noisy, guess

    numbers = jnp.arange(steps - 1)
    noisy, guesses = jax.lax.scan(step, start, (numbers, times[:-1], times[1:]))
    last = denoise(noisy, jnp.full((len(keys),), times[-1]))
    return last, jnp.concatenate([guesses, last[None]])


def probability_flow(
    denoise: Denoiser,
    process: SDE,
    start: Images,
    keys: Keys | None = None,
    steps: int = 12,
    tolerance: float = 1e-4,
) -> tuple[Images, Guesses]:
    """Follows the flow that carries the densities of the process, without any noise.

        dx/dt = f(x, t) − ½ g(t)² ∇ log pₜ(x)                                       (1)

    by a Runge–Kutta method of order 5 with steps of its own choice, the same for the whole batch.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives f and g.
        start: noise, as `process.prior` draws it.
        keys: not needed.
        steps: guesses to return, evenly spaced in time.
        tolerance: of a step's error, absolute and relative.

    Returns:
        x₀ of each image, and x̂₀ as it was guessed on the way.

    Source: Song et al., 2021, https://arxiv.org/abs/2011.13456, equation 13.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> always_one = lambda noisy, t: jnp.ones_like(noisy)
        >>> images, _ = probability_flow(always_one, VariancePreserving(), jnp.zeros((2, 1)))
        >>> images.tolist()
        [[1.0], [1.0]]
    """
    times = jnp.asarray(process.times(steps))
    path = flow(denoise, process, start, times, tolerance)

    def guess(x):
        noisy, t = x
        return denoise(noisy, jnp.full((len(noisy),), t))

    guesses = jax.lax.map(guess, (path, times))
    return guesses[-1], guesses


def flow(
    denoise: Denoiser,
    process: SDE,
    images: Images,
    times: Float[Array, " steps"],
    tolerance: float = 1e-4,
) -> Guesses:
    """Carries images from one time to another along the probability flow: forwards, it encodes.

        dx/dt = f(x, t) − ½ g(t)² ∇ log pₜ(x)                                       (1)

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives f and g.
        images: at the first time.
        times: rising or falling.
        tolerance: of a step's error, absolute and relative.

    Returns:
        Where the images are at each of the times.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> process, x = VariancePreserving(), jnp.array([[0.5], [-0.5]])
        >>> def shrink(noisy, t):  # exact for images that are normal, of variance 1
        ...     return process.scales(t).over(noisy).signal * noisy
        >>> flow(shrink, process, x, jnp.array([0.01, 1.0]))[1].round(3).tolist()
        [[0.5], [-0.5]]
    """
    rate = velocity(denoise, process)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, _: rate(x, jnp.full((len(x),), t))),
        diffrax.Tsit5(),
        times[0],
        times[-1],
        None,
        images,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(tolerance, tolerance),
        adjoint=diffrax.DirectAdjoint(),
        max_steps=10_000,
    )
    return solution.ys


def velocity(denoise: Denoiser, process: SDE) -> Denoiser:
    """Makes the right-hand side of the probability flow, (xₜ, t) → f − ½ g² ∇ log pₜ.

    Example:
        >>> from jdl.diffusion.processes import VarianceExploding
        >>> process = VarianceExploding()
        >>> rate = velocity(lambda noisy, t: jnp.zeros_like(noisy), process)
        >>> f"{rate(jnp.ones((1, 1)), jnp.ones(1))[0, 0]:.3f}"  # log(σ₁/σ₀) times x
        '8.517'
    """
    score = score_of(denoise, process)

    def rate(noisy, t):
        g = process.diffusion(t).reshape(-1, *[1] * (noisy.ndim - 1))
        return process.drift(noisy, t) - 0.5 * g**2 * score(noisy, t)

    return rate


def _langevin(
    denoise: Denoiser,
    process: Process,
    noisy: Images,
    t: Float[Array, " batch"],
    keys: Key[Array, " batch"],
    first: Array,
    steps: int,
    rate: float,
) -> Images:
    """Makes Langevin steps at one time; `first` counts the draws made before."""
    if not steps:
        return noisy
    score = score_of(denoise, process)
    length = rate * process.scales(t).over(noisy).noise ** 2

    def step(i, noisy):
        fresh = draw(keys, first + i + 1, noisy.shape[1:])
        return noisy + 0.5 * length * score(noisy, t) + jnp.sqrt(length) * fresh

    return jax.lax.fori_loop(0, steps, step, noisy)
