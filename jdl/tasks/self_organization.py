"""Self-organisation: a Neocognitron learns stage by stage from what it is shown, untaught."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flax.struct
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from jdl.tasks.classification import to_float
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Memory(flax.struct.PyTreeNode):
    """A network, updates made, and for each class an image and the network's answer to it."""

    network: TrainState
    images: PyTree
    answers: PyTree
    step: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class SelfOrganization:
    """The Neocognitron's rule, for one stage after the other (Fukushima, 1980, section 3).

    Labels teach nothing: they only say, afterwards, which example an answer is like. With z(x) the
    last C-cells and x₁ … x_K one image of each class,

        class(x) = argmaxₖ cos(z(x), z(xₖ))                                         (1)

    and, to compare, the class of the image that is nearest to x pixel by pixel.

    Args:
        model: the network, whose `planes` says how many stages there are.
        rule: how a stage learns from an image, as `jdl.models.vision.neocognitron.reinforce`.
        num_classes: K.
        steps_per_stage: batches that each stage is shown.
        rate: q of the rule.
    """

    model: Any
    rule: Callable[..., dict[str, Array]]
    num_classes: int
    steps_per_stage: int
    rate: float

    def init(self, key: Key[Array, ""], batch: Batch) -> Memory:
        """Starts with small random weights, and an empty memory."""
        images = to_float(batch["image"])
        answers, variables = self.model.init_with_output(key, images[:1])
        return Memory(
            network=TrainState(params=variables["params"], model_state={}, optimizer_state=()),
            images=jnp.zeros((self.num_classes, *images.shape[1:])),
            answers=jnp.zeros((self.num_classes, answers.shape[-1])),
            step=jnp.zeros((), jnp.int32),
        )

    def train_step(
        self, state: Memory, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Memory, Metrics]:
        """Shows the images, one after another, to the stage whose turn it is."""
        images = to_float(batch["image"])
        stages = len(self.model.planes)

        def learn(stage):
            def see(params, image):
                return self.rule(self.model, params, image, stage, self.rate), None

            return lambda params: lax.scan(see, params, images)[0]

        turn = jnp.minimum(state.step // self.steps_per_stage, stages - 1)
        params = lax.switch(turn, [learn(i + 1) for i in range(stages)], state.network.params)
        learned = jnp.stack([(params[f"b{i + 1}"] > 0).sum() for i in range(stages)])
        state = Memory(
            network=state.network.replace(params=params),
            images=state.images.at[batch["label"]].set(images),
            answers=state.answers.at[batch["label"]].set(
                self.model.apply({"params": params}, images)
            ),
            step=state.step + 1,
        )
        return state, {
            "learned_planes": Mean(learned.astype(jnp.float32), jnp.ones(stages)),
        }

    def eval_step(self, state: Memory, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Accuracy of (1), and of the nearest image."""
        images = to_float(batch["image"])
        distances = jnp.square(images[:, None] - state.images[None]).sum((2, 3, 4))
        found = {
            "accuracy": self.likeness(state, images).argmax(-1),
            "template_accuracy": distances.argmin(-1),
        }
        return {name: mean(k == batch["label"], batch["mask"]) for name, k in found.items()}

    def likeness(self, state: Memory, images: Array) -> Float[Array, "batch classes"]:
        """Returns the cosines in (1)."""
        answers = self.model.apply({"params": state.network.params}, images)
        return _unit(answers) @ _unit(state.answers).T

    def predict(self, state: Memory, images: Array) -> list[dict[str, float]]:
        """How like the image of each class an image in [0, 1] is, likest first."""
        likeness = np.asarray(self.likeness(state, images))
        return [{str(k): float(row[k]) for k in np.argsort(-row)} for row in likeness]

    def figures(self, state: Memory, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """What was shown, what the first stage learned of it, and what is recognised."""
        from jdl.tasks.drawing import image_grid

        images = to_float(batch["image"])
        chosen = np.linspace(0, len(images) - 1, 40).astype(int)
        likeness = np.asarray(self.likeness(state, jnp.asarray(images)[chosen]))
        labels = np.asarray(batch["label"])[chosen]
        params = state.network.params
        learned = np.flatnonzero(np.asarray(params["b1"]) > 0)
        features = np.moveaxis(np.asarray(params["a1"]), -1, 0)[learned]
        largest = features.max((1, 2, 3), keepdims=True)
        return {
            "shown": image_grid(np.asarray(state.images), title="All that was ever shown"),
            "features": image_grid(features / largest, title="Features of the first S-cells"),
            "recognised": image_grid(
                np.asarray(images)[chosen],
                columns=8,
                titles=[
                    f"{truth}" if truth == found else f"{truth} → {found}"
                    for truth, found in zip(labels, likeness.argmax(-1))
                ],
                title="Moved and distorted: the class, and what it was taken for",
            ),
        }


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
