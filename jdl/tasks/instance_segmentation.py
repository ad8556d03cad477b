"""Instance segmentation: objects are what hangs together in a mask, where they must not touch."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from jdl.ops.objects import connected_components, match_objects
from jdl.tasks.classification import to_float
from jdl.tasks.segmentation import Segmentation, check_masks
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class InstanceSegmentation(Segmentation):
    """Segmentation into objects and what is between them; what hangs together is one object.

        F1 = 2 |matched| / (|predicted| + |true|)                                   (1)

    where objects match at an intersection over union above a half. Beside what `Segmentation`
    takes, with 1 in "mask_label" on objects but not between two that touch, a batch has "instances"
    [batch, height, width], 0 where there is no object, else its number; in training it may have
    "weight" of the same shape, which each pixel's loss counts by.

    Args:
        most: objects that an image may have.
    """

    most: int = dataclasses.field(kw_only=True)

    def _measure(
        self, logits: Array, batch: Batch, class_weights: Sequence[float]
    ) -> tuple[Mean, Metrics]:
        if "weight" not in batch:
            return super()._measure(logits, batch, class_weights)
        check_masks(batch, logits)
        truth = batch["mask_label"].astype(jnp.int32)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), truth)
        pixels = jnp.broadcast_to(batch["mask"][:, None, None], truth.shape)
        loss = mean(losses, pixels * batch["weight"])
        return loss, {"loss": loss, "pixel_accuracy": mean(logits.argmax(-1) == truth, pixels)}

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """What `Segmentation` measures, the F1 (1) of objects, and how many were found.

        "touching_found" is the share of those that touch another which were found, each by itself.
        """
        instances = batch["instances"].astype(jnp.int32)
        objects = self.segment_objects(state, to_float(batch["image"]))
        match = jax.vmap(partial(match_objects, most=self.most))(objects, instances)
        numbers = jnp.arange(1, self.most + 1)
        # Which objects have a pixel that was taken from the mask to keep them apart.
        beside = jnp.where(batch["mask_label"] == 0, instances, 0)
        touching = (beside.reshape(len(beside), -1, 1) == numbers[None, None, :]).any(1)
        real = batch["mask"]
        found, present = match.found * real[:, None], match.present * real[:, None]
        return super().eval_step(state, batch, key) | {
            "f1": Mean(2 * found.sum(), present.sum() + (match.proposed * real).sum()),
            "touching_found": Mean((found * touching).sum(), (present * touching).sum()),
        }

    @partial(jax.jit, static_argnums=0)
    def segment_objects(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Int[Array, "batch height width"]:
        """The number of the object that each pixel is of, 0 for none, for images in [0, 1]."""
        return jax.vmap(connected_components)(self.segment(state, images) > 0)

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Images, and true and predicted objects in colours of their own; touching ones first."""
        from matplotlib import colormaps

        from jdl.tasks.drawing import image_grid

        instances = np.asarray(batch["instances"]).astype(np.int32)
        crowded = ((instances > 0) & (np.asarray(batch["mask_label"]) == 0)).sum((1, 2))
        chosen = np.argsort(-crowded, kind="stable")[:10]
        images = to_float(batch["image"])[chosen]
        colour = np.broadcast_to(images, (*images.shape[:3], 3))
        palette = np.concatenate([[[0.12] * 3], colormaps["tab10"](np.arange(10))[:, :3]])

        def coloured(objects: Int[np.ndarray, "count height width"]) -> np.ndarray:
            """Numbers anew, in the order in which objects appear, and colours."""
            numbered = [np.unique(o, return_inverse=True)[1].reshape(o.shape) for o in objects]
            return palette[np.where(np.array(numbered) > 0, (np.array(numbered) - 1) % 10 + 1, 0)]

        predicted = np.asarray(self.segment_objects(state, images))
        rows = [colour, coloured(instances[chosen]), coloured(predicted)]
        title = "Images with touching objects, the true ones, and what hangs together"
        return {
            "objects": image_grid(
                np.concatenate(rows).astype(np.float32), columns=len(chosen), title=title
            )
        }
