"""Anomaly detection: what an autoencoder cannot bring back is not what it learned from."""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.ops.ranking import concordant_pairs
from jdl.tasks.classification import to_float
from jdl.tasks.reconstruction import Reconstruction
from jdl.train.metrics import Mean, Metrics
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class AnomalyDetection(Reconstruction):
    """Reconstruction of what is normal; the error tells what is not.

        s(x) = ‖x̂ − x‖²                                                             (1)
        AUC = P(s(anomaly) > s(normal))                                             (2)

    Test batches have "anomaly", 1 for what training has not shown; (2) is over the pairs of a
    batch, and exact where the batch is the whole split.
    """

    def scores(self, state: TrainState, images: Array) -> Float[Array, " batch"]:
        """The squared error (1) of images in [0, 1]."""
        return jnp.square(self.reconstruct(state, images) - images).sum((1, 2, 3))

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The area under the curve (2), beside what `Reconstruction` measures."""
        scores = self.scores(state, to_float(batch["image"]))
        auc = Mean(*concordant_pairs(scores, batch["anomaly"] > 0, batch["mask"]))
        return super().test_step(state, batch, key) | {"roc_auc": auc}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """The errors of both kinds, the curve, and the images on the wrong side."""
        from matplotlib.figure import Figure

        from jdl.tasks.drawing import image_grid

        images = to_float(batch["image"])
        scores = np.asarray(self.scores(state, images))
        anomaly = np.asarray(batch["anomaly"]) > 0
        order = np.argsort(-scores)
        found = np.cumsum(anomaly[order]) / max(anomaly.sum(), 1)
        alarms = np.cumsum(~anomaly[order]) / max((~anomaly).sum(), 1)
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        errors, curve = figure.subplots(1, 2)
        bins = np.linspace(0, scores.max(), 40).tolist()
        for kind, label in ((~anomaly, "normal"), (anomaly, "anomaly")):
            errors.hist(scores[kind], bins, density=True, alpha=0.6, label=label)
        errors.set(xlabel="squared error", ylabel="density")
        errors.legend(frameon=False)
        curve.plot([0, *alarms], [0, *found])
        curve.plot([0, 1], [0, 1], ":", color="0.6")
        curve.set(xlabel="false alarms", ylabel="anomalies found", aspect="equal")
        wins, pairs = jax.device_get(concordant_pairs(jnp.asarray(scores), jnp.asarray(anomaly)))
        curve.set_title(f"area {wins / max(pairs, 1):.3f}")
        missed = [i for i in order[::-1] if anomaly[i]][:12]
        false = [i for i in order if not anomaly[i]][:12]
        drawn = super().figures(state, batch, key) | {"detection": figure}
        if missed and false:
            drawn["mistakes"] = image_grid(
                np.asarray(images)[missed + false],
                columns=max(len(missed), len(false)),
                titles=[f"{scores[i]:.0f}" for i in missed + false],
                title="Anomalies that come back best, and normal images that come back worst",
            )
        return drawn
