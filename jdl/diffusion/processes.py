"""Forward processes: what turns images into noise, in steps or in continuous time."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jdl.diffusion.gaussian import Scales
from jdl.errors import UserError

Times = Num[Array, "*times"]

# The earliest time that is learned and that likelihoods begin at: the score of an image without any
# noise need not exist.
EARLIEST = 1e-5


@runtime_checkable
class Process(Protocol):
    """A forward process, xₜ = a(t) x₀ + s(t) ε."""

    def scales(self, t: Times) -> Scales:
        """Returns a(t) and s(t)."""
        ...

    def timesteps(self, t: Times) -> Times:
        """Returns what networks are told of t."""
        ...

    def at(self, share: Float[Array, "*times"]) -> Times:
        """Returns the time at a share in [0, 1) of all times: uniform for uniform shares."""
        ...

    def times(self, steps: int) -> Num[np.ndarray, " steps"]:
        """Returns the times that a sampler visits, evenly spaced from noise to image."""
        ...

    def prior(
        self, keys: Key[Array, " batch"], shape: tuple[int, ...]
    ) -> Float[Array, "batch *shape"]:
        """Draws what is left of images in the end: one for each key."""
        ...


def draw(
    keys: Key[Array, " batch"], step: Num[Array, ""] | int, shape: tuple[int, ...]
) -> Float[Array, "batch *shape"]:
    """Draws standard normal noise that depends on no neighbour in the batch.

    Args:
        keys: one for each image.
        step: another one gives other noise.
        shape: of an image.

    Example:
        >>> draw(jax.random.split(jax.random.key(0), 3), 1, (2, 2)).shape
        (3, 2, 2)
    """
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, step), shape))(keys)


@dataclasses.dataclass(frozen=True, eq=False)
class Discrete:
    """The chain of DDPM in T steps (Ho et al., 2020, https://arxiv.org/abs/2006.11239, equation 4).

        a(t) = √ᾱₜ,  s(t) = √(1 − ᾱₜ),  t = 0 … T − 1                               (1)

    Args:
        alpha_bar: ᾱ of every step, as `jdl.diffusion.schedules` makes it.

    Example:
        >>> from jdl.diffusion.schedules import linear_schedule
        >>> process = Discrete(linear_schedule())
        >>> signal, noise = process.scales(jnp.array([0, 999]))
        >>> [f"{a:.3f}" for a in signal], [f"{s:.3f}" for s in noise]
        (['1.000', '0.006'], ['0.010', '1.000'])
        >>> process.times(5).tolist()
        [999, 749, 500, 250, 0]
    """

    alpha_bar: Float[np.ndarray, " steps"]

    def scales(self, t: Times) -> Scales:
        """Returns (1)."""
        alpha_bar = jnp.asarray(self.alpha_bar)[t]
        return Scales(jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar))

    def timesteps(self, t: Times) -> Times:
        """Returns the number of the step, from 0."""
        return t.astype(jnp.float32)

    def at(self, share: Float[Array, "*times"]) -> Times:
        """Returns the step at a share of all T."""
        return (share * len(self.alpha_bar)).astype(jnp.int32)

    def times(self, steps: int) -> Num[np.ndarray, " steps"]:
        """Returns steps from the last to the first.

        Raises:
            UserError: there are not so many.
        """
        if not 1 <= steps <= len(self.alpha_bar):
            raise UserError(
                f"a sampler of {steps} steps cannot follow a schedule of {len(self.alpha_bar)}: "
                f"it takes 1 to {len(self.alpha_bar)}"
            )
        return np.round(np.linspace(len(self.alpha_bar) - 1, 0, steps)).astype(np.int32)

    def prior(
        self, keys: Key[Array, " batch"], shape: tuple[int, ...]
    ) -> Float[Array, "batch *shape"]:
        """Draws standard normal noise."""
        return draw(keys, 0, shape)


@runtime_checkable
class SDE(Process, Protocol):
    """A process in continuous time, dx = f(x, t) dt + g(t) dw, 0 ≤ t ≤ 1."""

    def drift(self, x: Float[Array, "*shape"], t: Times) -> Float[Array, "*shape"]:
        """Returns f(x, t)."""
        ...

    def diffusion(self, t: Times) -> Times:
        """Returns g(t)."""
        ...

    def prior_log_density(self, x: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
        """Returns the log-density, in nats, of what is left at t = 1."""
        ...


class _Continuous:
    """What the processes of Song et al. have in common."""

    stop: float

    def at(self, share: Float[Array, "*times"]) -> Times:
        """Returns the time at a share of [1e-5, 1]."""
        return EARLIEST + (1 - EARLIEST) * share

    def times(self, steps: int) -> Num[np.ndarray, " steps"]:
        """Returns times from 1 to `stop`.

        Raises:
            UserError: fewer than one.
        """
        if steps < 1:
            raise UserError(f"a sampler takes at least 1 step, not {steps}")
        return np.linspace(1.0, self.stop, steps, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class VariancePreserving(_Continuous):
    """The VP SDE: DDPM in infinitely many steps (Song et al., 2021, equations 11, 29 and 33).

        β(t) = β₀ + t (β₁ − β₀)                                                     (1)
        dx = −½ β(t) x dt + √β(t) dw                                                (2)
        a(t) = exp(−½ ∫₀ᵗ β),  s(t)² = 1 − exp(−∫₀ᵗ β)                              (3)

    Args:
        beta_first: β₀.
        beta_last: β₁.
        stop: the time at which samplers jump to the image.

    Example:
        >>> signal, noise = VariancePreserving().scales(jnp.array(0.5))
        >>> round(float(signal**2 + noise**2), 6)
        1.0

    Source: https://arxiv.org/abs/2011.13456, appendices B and C.
    """

    beta_first: float = 0.1
    beta_last: float = 20.0
    stop: float = 1e-3

    def scales(self, t: Times) -> Scales:
        """Returns (3)."""
        integral = self._integral(t)
        return Scales(jnp.exp(-integral / 2), jnp.sqrt(-jnp.expm1(-integral)))

    def timesteps(self, t: Times) -> Times:
        """Returns 999 t, as if there were 1,000 steps."""
        return 999 * t

    def drift(self, x: Float[Array, "*shape"], t: Times) -> Float[Array, "*shape"]:
        """Returns f of (2)."""
        return -0.5 * _over(self._beta(t), x) * x

    def diffusion(self, t: Times) -> Times:
        """Returns g of (2)."""
        return jnp.sqrt(self._beta(t))

    def prior(
        self, keys: Key[Array, " batch"], shape: tuple[int, ...]
    ) -> Float[Array, "batch *shape"]:
        """Draws standard normal noise."""
        return draw(keys, 0, shape)

    def prior_log_density(self, x: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
        """Returns that of standard normal noise."""
        return _normal_log_density(x, 1.0)

    def _beta(self, t: Times) -> Times:
        return self.beta_first + t * (self.beta_last - self.beta_first)

    def _integral(self, t: Times) -> Times:
        """Returns ∫₀ᵗ β."""
        return t * self.beta_first + 0.5 * t**2 * (self.beta_last - self.beta_first)


@dataclasses.dataclass(frozen=True)
class SubVariancePreserving(VariancePreserving):
    """The sub-VP SDE, whose variance stays below the VP's (Song et al., 2021, equations 12 and 29).

        dx = −½ β(t) x dt + √(β(t) (1 − exp(−2 ∫₀ᵗ β))) dw                          (1)
        a(t) = exp(−½ ∫₀ᵗ β),  s(t) = 1 − exp(−∫₀ᵗ β)                               (2)

    Args:
        beta_first: β₀.
        beta_last: β₁.
        stop: the time at which samplers jump to the image.

    Example:
        >>> t = jnp.array(0.3)
        >>> bool(SubVariancePreserving().scales(t).noise < VariancePreserving().scales(t).noise)
        True
    """

    def scales(self, t: Times) -> Scales:
        """Returns (2)."""
        integral = self._integral(t)
        return Scales(jnp.exp(-integral / 2), -jnp.expm1(-integral))

    def diffusion(self, t: Times) -> Times:
        """Returns g of (1)."""
        return jnp.sqrt(self._beta(t) * -jnp.expm1(-2 * self._integral(t)))


@dataclasses.dataclass(frozen=True)
class VarianceExploding(_Continuous):
    """The VE SDE: images stay, noise grows over them (Song et al., 2021, equations 9, 29 and 30).

        dx = σ(t) √(2 log(σ₁/σ₀)) dw                                                (1)
        a(t) = 1,  s(t) = σ(t) = σ₀ (σ₁/σ₀)ᵗ                                        (2)

    (2) begins with the noise σ₀, (1) adds σ(t)² − σ₀² of variance to it.

    Args:
        sigma_first: σ₀, too little to see.
        sigma_last: σ₁, about the greatest distance between two images.
        stop: the time at which samplers jump to the image.

    Example:
        >>> [f"{s:.2f}" for s in VarianceExploding().scales(jnp.array([0.0, 0.5, 1.0])).noise]
        ['0.01', '0.71', '50.00']

    Source: https://arxiv.org/abs/2011.13456, appendices B and C; for σ₁ Song and Ermon, 2020,
    https://arxiv.org/abs/2006.09011, section 3.1.
    """

    sigma_first: float = 0.01
    sigma_last: float = 50.0
    stop: float = 1e-5

    def scales(self, t: Times) -> Scales:
        """Returns (2)."""
        sigma = self.sigma_first * (self.sigma_last / self.sigma_first) ** t
        return Scales(jnp.ones_like(sigma), sigma)

    def timesteps(self, t: Times) -> Times:
        """Returns σ(t)."""
        return self.scales(t).noise

    def drift(self, x: Float[Array, "*shape"], t: Times) -> Float[Array, "*shape"]:
        """Returns f of (1), which is nothing."""
        return jnp.zeros_like(x)

    def diffusion(self, t: Times) -> Times:
        """Returns g of (1)."""
        return self.scales(t).noise * (2 * np.log(self.sigma_last / self.sigma_first)) ** 0.5

    def prior(
        self, keys: Key[Array, " batch"], shape: tuple[int, ...]
    ) -> Float[Array, "batch *shape"]:
        """Draws normal noise of deviation σ₁."""
        return self.sigma_last * draw(keys, 0, shape)

    def prior_log_density(self, x: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
        """Returns that of normal noise of deviation σ₁."""
        return _normal_log_density(x, self.sigma_last)


def _over(values: Array, x: Array) -> Array:
    return jnp.expand_dims(values, tuple(range(jnp.ndim(values), x.ndim)))


def _normal_log_density(x: Array, deviation: float) -> Array:
    x = x.reshape(len(x), -1) / deviation
    return -0.5 * jnp.square(x).sum(-1) - x.shape[1] * np.log(deviation * np.sqrt(2 * np.pi))
