"""Score matching on points of the plane, whose density is known: everything can be drawn."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jdl.diffusion.denoisers import Denoiser, denoiser, score_of
from jdl.diffusion.gaussian import Prediction, Weighting, diffuse
from jdl.diffusion.likelihood import log_density
from jdl.diffusion.losses import denoising_loss
from jdl.diffusion.mixture import Mixture
from jdl.diffusion.processes import SDE
from jdl.diffusion.reverse import flow
from jdl.ops.random import per_example_keys
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = (0.01, 0.15, 0.35, 0.6, 1.0)  # times, in figures
EDGE = 2.5  # of the plane that is drawn


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreField:
    """Denoising score matching on points of a mixture of Gaussians (Vincent, 2011).

        L = E w(t) ‖f(xₜ, t) − y‖²,  t ~ U                                          (1)
        error = E s(t)² ‖ŝ(xₜ, t) − ∇ log pₜ(xₜ)‖² / E s(t)² ‖∇ log pₜ(xₜ)‖²        (2)

    With s², the earliest times, where scores are without bound, are not all that counts in (2).

    A batch has "point" [batch, 2].

    Args:
        model: (points, timesteps) → prediction.
        optimizer: an optax transformation.
        process: in continuous time.
        mixture: where the points are from; only (2), likelihoods and figures ask it.
        prediction: what the network is asked for, y.
        weighting: w(t).
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    process: SDE
    mixture: Mixture
    prediction: Prediction = "noise"
    weighting: Weighting = "simple"

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        points = batch["point"]
        return TrainState.create(
            self.model.init(key, points, jnp.ones(len(points))), self.optimizer
        )

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update (1)."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        noise, t = self._draws(batch, key)
        network = partial(self.model.apply, {"params": params})
        losses = denoising_loss(
            network, self.process, batch["point"], noise, t, self.prediction, self.weighting
        )
        loss = mean(losses, batch["mask"])
        return loss, (model_state, {"loss": loss})

    def _draws(self, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Array]:
        """Returns noise and a time for each point."""
        keys = per_example_keys(key, batch["row"])
        noise = jax.vmap(lambda key: jax.random.normal(key, batch["point"].shape[1:]))(keys)
        shares = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1)))(keys)
        return noise, self.process.at(shares)

    def denoiser(self, state: TrainState) -> Denoiser:
        """Returns (xₜ, t) → x̂₀ of the network."""
        network = partial(self.model.apply, state.variables)
        return denoiser(network, self.process, self.prediction)

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss (1), and how far the score is from the true one (2)."""
        noise, t = self._draws(batch, key)
        noisy = diffuse(batch["point"], noise, self.process.scales(t).over(noise))
        learned = score_of(self.denoiser(state), self.process)(noisy, t)
        true = self.mixture.score(noisy, self.process.scales(t))
        weights = jnp.square(self.process.scales(t).noise) * batch["mask"]
        off, length = ((jnp.square(v).sum(-1) * weights).sum() for v in (learned - true, true))
        loss = self._loss(state.params, {}, batch, key)[0]
        return {"loss": loss, "score_error": Mean(off, length)}

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, and what a point costs, in nats: by the learned flow, and in truth."""
        learned = log_density(self.denoiser(state), self.process, batch["point"])
        true = self.mixture.log_density(batch["point"])
        nats = {"nats": mean(-learned, batch["mask"]), "true_nats": mean(-true, batch["mask"])}
        return self.eval_step(state, batch, key) | nats

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Points forwards, and backwards along the flow; the learned score beside the true one."""
        return {
            "forward_and_reverse": self._draw_paths(state, batch, key),
            "scores": self._draw_scores(state),
        }

    def _draw_paths(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "Figure":
        from matplotlib.figure import Figure

        points = batch["point"][:500]
        noise = jax.random.normal(key, points.shape)
        keys = jax.random.split(key, len(points))
        times = jnp.array(SHOWN[::-1])
        back = flow(self.denoiser(state), self.process, self.process.prior(keys, (2,)), times)
        figure = Figure(figsize=(2.6 * len(SHOWN), 5.4))
        axes = figure.subplots(2, len(SHOWN), squeeze=False)
        for column, t in enumerate(SHOWN):
            scales = self.process.scales(jnp.full(len(points), t)).over(points)
            self._scatter(axes[0, column], diffuse(points, noise, scales))
            self._scatter(axes[1, column], back[len(SHOWN) - 1 - column])
            axes[0, column].set_title(f"t = {t:g}")
        axes[0, 0].set_ylabel("forward: data → noise")
        axes[1, 0].set_ylabel("back along the learned flow")
        figure.tight_layout()
        return figure

    def _scatter(self, axes: "Axes", points: Array) -> None:
        x, y = np.asarray(points).T
        axes.scatter(x, y, s=3, linewidths=0)
        _plane(axes)

    def _draw_scores(self, state: TrainState) -> "Figure":
        from matplotlib.figure import Figure

        side = np.linspace(-EDGE, EDGE, 17)
        grid = jnp.asarray(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), jnp.float32)
        learned = score_of(self.denoiser(state), self.process)
        figure = Figure(figsize=(2.6 * (len(SHOWN) - 1), 5.4))
        axes = figure.subplots(2, len(SHOWN) - 1, squeeze=False)
        for column, t in enumerate(SHOWN[:-1]):
            times = jnp.full(len(grid), t)
            scales = self.process.scales(times)
            fields = learned(grid, times), self.mixture.score(grid, scales)
            for row, field in enumerate(fields):
                # Of one length: that grows without bound towards t = 0.
                arrows = np.asarray(field / jnp.linalg.norm(field, axis=-1, keepdims=True))
                axes[row, column].quiver(*np.asarray(grid).T, *arrows.T, scale=24, width=0.006)
                density = self.mixture.log_density(grid, scales).reshape(17, 17)
                axes[row, column].contour(side, side, np.exp(density), levels=5, linewidths=0.6)
                _plane(axes[row, column])
            axes[0, column].set_title(f"t = {t:g}")
        axes[0, 0].set_ylabel("learned score")
        axes[1, 0].set_ylabel("true score")
        figure.tight_layout()
        return figure


def _plane(axes: "Axes") -> None:
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[], yticks=[])
    axes.set_aspect("equal")
