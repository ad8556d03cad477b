"""A mixture of Gaussians on its way to noise: density, score and denoiser are known exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jdl.diffusion.gaussian import Scales
from jdl.diffusion.processes import Process


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians with full covariances, noised as any process noises them.

        p₀(x) = Σₖ πₖ N(x; μₖ, Σₖ)                                                  (1)
        pₜ(x) = Σₖ πₖ N(x; a μₖ, Cₖ),  Cₖ = a² Σₖ + s² I                            (2)
        ∇ log pₜ(x) = Σₖ p(k|x) Cₖ⁻¹ (a μₖ − x)                                     (3)
        E[x₀|xₜ = x] = Σₖ p(k|x) (μₖ + a Σₖ Cₖ⁻¹ (x − a μₖ))                        (4)

    Args:
        weights: π, adding up to one.
        means: μ.
        covariances: Σ.

    Example:
        >>> mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
        >>> round(float(mixture.log_density(jnp.zeros((1, 2)))[0]), 4)  # −log 2π
        -1.8379
    """

    weights: Float[np.ndarray, " components"]
    means: Float[np.ndarray, "components size"]
    covariances: Float[np.ndarray, "components size size"]

    @property
    def mean(self) -> Float[np.ndarray, " size"]:
        """Returns the mean of (1)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[np.ndarray, "size size"]:
        """Returns the covariance of (1): what the components have, and that of their means."""
        apart = self.means - self.mean
        within = np.einsum("k,kij->ij", self.weights, self.covariances)
        return within + np.einsum("k,ki,kj->ij", self.weights, apart, apart)

    def sample(self, keys: Key[Array, " batch"]) -> Float[Array, "batch size"]:
        """Draws from (1), one point for each key."""
        factors = jnp.asarray(np.linalg.cholesky(self.covariances), jnp.float32)
        means = jnp.asarray(self.means, jnp.float32)
        logits = jnp.log(jnp.asarray(self.weights, jnp.float32))

        def one(key):
            which, where = jax.random.split(key)
            k = jax.random.categorical(which, logits)
            return means[k] + factors[k] @ jax.random.normal(where, means.shape[1:])

        return jax.vmap(one)(keys)

    def log_density(
        self, x: Float[Array, "batch size"], scales: Scales | None = None
    ) -> Float[Array, " batch"]:
        """Returns log pₜ of (2), in nats; without scales, log p₀."""
        return jax.nn.logsumexp(self._joint(x, self._scales(x, scales))[0], axis=-1)

    def score(
        self, x: Float[Array, "batch size"], scales: Scales | None = None
    ) -> Float[Array, "batch size"]:
        """Returns (3)."""
        joint, pulls = self._joint(x, self._scales(x, scales))
        return jnp.einsum("bk,bki->bi", jax.nn.softmax(joint), pulls)

    def denoise(self, x: Float[Array, "batch size"], scales: Scales) -> Float[Array, "batch size"]:
        """Returns (4)."""
        scales = self._scales(x, scales)
        joint, pulls = self._joint(x, scales)
        means, covariances = (jnp.asarray(m, jnp.float32) for m in (self.means, self.covariances))
        back = jnp.einsum("kij,bkj->bki", covariances, pulls)
        images = means[None] - scales.signal[:, None, None] * back
        return jnp.einsum("bk,bki->bi", jax.nn.softmax(joint), images)

    def denoiser(self, process: Process):
        """Returns (4) as samplers take it: (xₜ, t) → E[x₀|xₜ]."""
        return lambda x, t: self.denoise(x, process.scales(t))

    def component(self, x: Float[Array, "batch size"]) -> Num[Array, " batch"]:
        """Returns the component that each point most probably is of."""
        return self._joint(x, self._scales(x, None))[0].argmax(-1)

    def _parts(self) -> tuple[Array, Array, Array]:
        """Returns means, and variances along axes, of every component."""
        variances, axes = np.linalg.eigh(self.covariances)
        means = jnp.asarray(self.means, jnp.float32)
        return means, jnp.asarray(variances, jnp.float32), jnp.asarray(axes, jnp.float32)

    def _scales(self, x: Array, scales: Scales | None) -> Scales:
        """Returns one a and one s for each point."""
        signal, noise = (1.0, 0.0) if scales is None else scales
        return Scales(*(jnp.broadcast_to(jnp.asarray(v), x.shape[:1]) for v in (signal, noise)))

    def _joint(self, x: Array, scales: Scales) -> tuple[Array, Array]:
        """Returns log πₖ N(x; a μₖ, Cₖ), and Cₖ⁻¹ (a μₖ − x), for each point and component."""
        means, variances, axes = self._parts()
        signal, noise = (v[:, None, None] for v in scales)
        apart = signal * means[None] - x[:, None]
        # Along the axes of Σₖ, Cₖ is diagonal.
        spread = signal**2 * variances[None] + noise**2
        along = jnp.einsum("kij,bki->bkj", axes, apart)
        distances = (along**2 / spread).sum(-1)
        volumes = jnp.log(2 * jnp.pi * spread).sum(-1)
        weights = jnp.log(jnp.asarray(self.weights, jnp.float32))[None]
        pulls = jnp.einsum("kij,bkj->bki", axes, along / spread)
        return weights - 0.5 * (distances + volumes), pulls
