"""A Gaussian model of images: one step fits it, samples come out of a linear network."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.ops.gaussian import Gaussian, fit_gaussian, from_code, log_density, to_code
from jdl.ops.likelihood import bits_per_dimension, dequantize
from jdl.ops.random import per_example_keys
from jdl.tasks.classification import to_float
from jdl.train.gradients import AXIS, is_mapped
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianModel:
    """Images as draws from one normal distribution, fitted by maximum likelihood.

        y ~ N(μ, Σ'),  Σ' = E Λ Eᵀ                                                  (1)
        x = μ + E Λ^½ z,  z ~ N(0, I)                                               (2)

    of dequantised images y, with the shrunk covariance Σ' of `jdl.ops.gaussian.shrink`. There is
    no gradient: a step takes its batch, which is the whole training set, and forgets what was
    before. A batch has "image" [batch, height, width, channels] of 8 bits.

    Args:
        image_shape: height, width and channels.
        shrinkage: of the covariance.
    """

    image_shape: tuple[int, int, int]
    shrinkage: float = 0.0

    @property
    def latent_size(self) -> int:
        """Numbers in a code z: as many as there are pixels."""
        return int(np.prod(self.image_shape))

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Starts with a standard normal around black."""
        size = self.latent_size
        standard = Gaussian(jnp.zeros(size), jnp.eye(size), jnp.ones(size))
        return TrainState(params=standard._asdict(), model_state={}, optimizer_state=())

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """Fits the model to the batch (1); the metrics are those after it."""
        if is_mapped():  # Every device fits the same model to all of it.
            batch = jax.lax.all_gather(batch, AXIS, tiled=True)
        fitted = fit_gaussian(self._vectors(batch, key), self.shrinkage, batch["mask"])
        state = state.replace(params=fitted._asdict())
        return state, self.eval_step(state, batch, key)

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Bits that a pixel takes, of images of 8 bits."""
        density = log_density(Gaussian(**state.params), self._vectors(batch, key))
        bits = bits_per_dimension(density, self.latent_size)
        return {"bits_per_dimension": mean(bits, batch["mask"])}

    def _vectors(self, batch: Batch, key: Key[Array, ""]) -> Float[Array, "batch pixels"]:
        images = dequantize(per_example_keys(key, batch["row"]), to_float(batch["image"]))
        return images.reshape(len(images), -1)

    @partial(jax.jit, static_argnums=0)
    def decode(
        self, state: TrainState, latents: Float[Array, "batch latent"]
    ) -> Float[Array, "batch height width channels"]:
        """Images of codes (2), which may leave [0, 1]."""
        return from_code(Gaussian(**state.params), latents).reshape(-1, *self.image_shape)

    @partial(jax.jit, static_argnums=0)
    def encode(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch latent"]:
        """Codes of images in [0, 1]: the inverse of (2)."""
        return to_code(Gaussian(**state.params), images.reshape(len(images), -1))

    def sample(
        self, state: TrainState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Draws samples (2): images, cut to [0, 1]."""
        codes = jax.random.normal(key, (num_samples, self.latent_size))
        return np.clip(np.asarray(self.decode(state, codes)), 0, 1)

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Samples, the axes of most variance, walks along them, and the share of each."""
        from matplotlib.figure import Figure

        from jdl.tasks.drawing import image_grid

        gaussian = jax.tree.map(np.asarray, Gaussian(**state.params))
        axes = gaussian.axes.T[:24].reshape(-1, *self.image_shape)
        largest = np.abs(axes).max((1, 2, 3), keepdims=True)
        shares = gaussian.variances / gaussian.variances.sum()
        steps = np.linspace(-2, 2, 9, dtype=np.float32)
        codes = np.zeros((6, len(steps), self.latent_size), np.float32)
        for axis in range(6):
            codes[axis, :, axis] = steps
        walks = np.asarray(self.decode(state, codes.reshape(-1, self.latent_size)))
        spectrum = Figure(figsize=(5, 3.2), layout="constrained")
        plot = spectrum.subplots()
        plot.plot(np.arange(1, len(shares) + 1), np.cumsum(shares), lw=1.4)
        plot.set(xscale="log", xlabel="axes", ylabel="share of the variance", ylim=(0, 1.02))
        plot.grid(alpha=0.3)
        return {
            "samples": image_grid(
                self.sample(state, key, 60), columns=12, title="Samples of the Gaussian model"
            ),
            "axes": image_grid(
                axes / largest,
                columns=8,
                titles=[f"{share:.1%}" for share in shares[:24]],
                signed=True,
                title="Axes of most variance, and their shares of it",
            ),
            "walks": image_grid(
                np.clip(walks, 0, 1),
                columns=len(steps),
                title="From −2 to 2 deviations along the first six axes; in the middle, the mean",
            ),
            "spectrum": spectrum,
        }
