"""Detection of rare pixels: segmentation into two classes, measured at every threshold."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Shaped

from jdl.ops.ranking import average_precision
from jdl.tasks.segmentation import Segmentation, centre
from jdl.train.metrics import Mean, Metrics
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = Float[np.ndarray, " pixels"]
# A score for each pixel of one image of 8 bits, by a method that has learned nothing.
Classical = Callable[[Shaped[np.ndarray, "height width channels"]], np.ndarray]


def precision_recall(
    scores: Scores, positive: Bool[np.ndarray, " pixels"]
) -> tuple[Scores, Scores]:
    """Measures precision and recall at every threshold, from the highest down.

    Args:
        scores: of pixels.
        positive: which of them should score high.

    Returns:
        Precision and recall, when the first, the first two, … pixels are taken.

    Example:
        >>> precision, recall = precision_recall(np.array([0.1, 0.4, 0.8]), np.array([1, 0, 1]) > 0)
        >>> precision.round(2).tolist(), recall.tolist()
        ([1.0, 0.5, 0.67], [0.5, 0.5, 1.0])
    """
    found = np.cumsum(positive[np.argsort(-scores, kind="stable")])
    return found / np.arange(1, len(found) + 1), found / max(found[-1], 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Detection(Segmentation):
    """Segmentation into what is sought, the second class, and what is not.

        s(x)ᵢ = f(x)ᵢ,₁ − f(x)ᵢ,₀                                                    (1)

    is the score of pixel i; how well scores put what is sought first is the average precision over
    the pixels of a batch, exact for the split where the batch is the whole of it.

    Args:
        classical: other scores by name, to be compared with.
    """

    classical: Mapping[str, Classical] = dataclasses.field(default_factory=dict)

    @partial(jax.jit, static_argnums=0)
    def scores(
        self, state: TrainState, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width"]:
        """The score (1) of each pixel."""
        logits = self.model.apply(state.variables, centre(images)).astype(jnp.float32)
        return logits[..., 1] - logits[..., 0]

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The average precision, beside what `Segmentation` measures."""
        scores, truth = self.scores(state, batch["image"]), batch["mask_label"] > 0
        weights = jnp.broadcast_to(batch["mask"][:, None, None], scores.shape)
        found = average_precision(scores.ravel(), truth.ravel(), weights.ravel())
        count = batch["mask"].sum()
        return super().eval_step(state, batch, key) | {
            "average_precision": Mean(found * count, count)
        }

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """The curve of precision against recall, scores as pictures, and some segmentations."""
        from matplotlib.figure import Figure

        from jdl.tasks.drawing import image_grid

        images, truth = np.asarray(batch["image"]), np.asarray(batch["mask_label"]) > 0
        scores = np.asarray(self.scores(state, batch["image"]))
        found = {"network": scores} | {
            name: np.stack([method(image) for image in images])
            for name, method in self.classical.items()
        }
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        axes = figure.subplots()
        for name, values in found.items():
            precision, recall = precision_recall(values.ravel(), truth.ravel())
            area = average_precision(jnp.asarray(values.ravel()), jnp.asarray(truth.ravel()))
            # A thousand points are as good as a million.
            few = np.unique(np.searchsorted(recall, np.linspace(0, 1, 1000)))
            few = np.minimum(few, len(recall) - 1)
            axes.plot(recall[few], precision[few], label=f"{name}: {float(area):.3f}")
        taken = scores > 0
        hits = (taken & truth).sum()
        axes.plot(
            hits / max(truth.sum(), 1), hits / max(taken.sum(), 1), "ko", ms=4,
            label="network, more probable than not",
        )  # fmt: skip
        axes.axhline(truth.mean(), color="0.7", ls=":", label="by chance")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
        axes.set_title("Precision and recall of pixels, average precision", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
        first = slice(0, 8)
        probable = np.asarray(jax.nn.sigmoid(scores[first]))
        shown = [images[first] / 255, truth[first, ..., None], probable[..., None]]
        rows = [np.broadcast_to(row, images[first].shape) for row in shown]
        grid = image_grid(
            np.concatenate(rows).astype(np.float32),
            columns=len(rows[0]),
            title="Images, the truth, and how probable the network finds it",
        )
        return {"precision_recall": figure, "scores": grid} | super().figures(state, batch, key)
