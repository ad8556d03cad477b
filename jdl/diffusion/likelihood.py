"""Likelihoods by the probability flow, and bits per dimension of images of 8 bits."""

import math

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jdl.diffusion.denoisers import Denoiser
from jdl.diffusion.processes import EARLIEST, SDE
from jdl.diffusion.reverse import velocity


def log_density(
    denoise: Denoiser,
    process: SDE,
    images: Float[Array, "batch *shape"],
    keys: Key[Array, " batch"] | None = None,
    tolerance: float = 1e-4,
) -> Float[Array, " batch"]:
    """Measures the log-density that the probability flow gives to images.

        dx/dt = v(x, t) = f(x, t) − ½ g(t)² ∇ log pₜ(x)                             (1)
        log p₀(x(0)) = log p₁(x(1)) + ∫₀¹ ∇·v(x(t), t) dt                           (2)
        ∇·v = tr ∂v/∂x = E[zᵀ (∂v/∂x) z],  z of independent signs                   (3)

    The trace is computed exactly, one product with the Jacobian a number, or estimated without bias
    from one z (Hutchinson, 1989; Skilling, 1989): so is (2) then. The integral begins at 10⁻⁵.

    Args:
        denoise: (xₜ, t) → x̂₀.
        process: gives f, g and p₁.
        images: x(0).
        keys: one for each image, of its z; without them the trace is exact.
        tolerance: of a step's error, absolute and relative.

    Returns:
        Nats.

    Source: Song et al., 2021, https://arxiv.org/abs/2011.13456, equations 39 and 40; Grathwohl et
    al., 2019, https://arxiv.org/abs/1810.01367.

    Example:
        >>> from jdl.diffusion.processes import VariancePreserving
        >>> process = VariancePreserving()
        >>> def shrink(noisy, t):  # exact for images that are normal, of variance 1
        ...     return process.scales(t).over(noisy).signal * noisy
        >>> found = log_density(shrink, process, jnp.array([[0.0], [1.0]]))
        >>> [f"{nats:.3f}" for nats in found]
        ['-0.919', '-1.419']
    """
    rate = velocity(denoise, process)
    shape = images.shape[1:]
    size = math.prod(shape)
    if keys is None:
        probes = jnp.eye(size).reshape(size, 1, *shape)
        probes = jnp.broadcast_to(probes, (size, *images.shape))
    else:
        signs = jax.vmap(lambda key: jax.random.rademacher(key, shape, jnp.float32))
        probes = signs(keys)[None]

    def change(t, state, _):
        noisy, _ = state

        def along(probe):
            moved, product = jax.jvp(lambda x: rate(x, jnp.full((len(x),), t)), (noisy,), (probe,))
            return moved, (probe * product).reshape(len(noisy), -1).sum(-1)

        if len(probes) == 1:
            return along(probes[0])
        moved, traces = jax.vmap(along, out_axes=(None, 0))(probes)
        return moved, traces.sum(0)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(change),
        diffrax.Tsit5(),
        EARLIEST,
        1.0,
        None,
        (images, jnp.zeros(len(images))),
        stepsize_controller=diffrax.PIDController(tolerance, tolerance),
        adjoint=diffrax.DirectAdjoint(),
        max_steps=10_000,
    )
    last, divergence = (x[0] for x in solution.ys)
    return process.prior_log_density(last) + divergence


def dequantize(
    images: UInt8[Array, "batch *shape"], keys: Key[Array, " batch"]
) -> Float[Array, "batch *shape"]:
    """Spreads each of 256 values over its own interval of [−1, 1].

        x = 2 (k + u)/256 − 1,  u ~ U[0, 1)                                         (1)

    Args:
        images: k, 8 bits.
        keys: one for each image.

    Returns:
        x.

    Source: Theis et al., 2016, https://arxiv.org/abs/1511.01844, section 3.1.

    Example:
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> x = dequantize(jnp.array([[0, 128, 255]], jnp.uint8), keys)
        >>> jnp.floor((x + 1) * 128).tolist()
        [[0.0, 128.0, 255.0]]
    """
    noise = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:]))(keys)
    return 2 * (images + noise) / 256 - 1


def bits_per_dimension(
    log_density: Float[Array, "*batch"], size: int, width: float = 2 / 256
) -> Float[Array, "*batch"]:
    """Turns the log-density of dequantised images into bits for each number of 8 bits.

        −log₂ P(k) ≤ −∫ log₂ p(x) du − D log₂ w                                     (1)
        bits = −log p(x)/(D log 2) − log₂ w                                         (2)

    P(k) is the mass of a cube with sides w = 2/256, so −log₂ w = 7 is the offset for values in
    [−1, 1]; it would be 8 in [0, 1]. A uniform density on [−1, 1] costs 8 bits.

    Args:
        log_density: log p(x), nats.
        size: D, numbers in an image.
        width: w.

    Returns:
        Bits per dimension, of one u: on average, no less than what P(k) costs.

    Example:
        >>> round(float(bits_per_dimension(jnp.log(0.5) * 784, 784)), 3)
        8.0
    """
    return -log_density / (size * math.log(2)) - math.log2(width)
