"""Greedy layer-wise pretraining: one autoencoder after another, each on the codes of the last."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from jdl.data.augment import Augmentation, augment_batch
from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Stack(flax.struct.PyTreeNode):
    """The autoencoders, each with an optimiser of its own, and updates made."""

    networks: tuple[TrainState, ...]
    step: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class LayerwisePretraining:
    """A stack of denoising autoencoders, trained from below (Vincent et al., 2010, section 3).

        h⁰ = x,  hˡ = encodeˡ(hˡ⁻¹)                                                 (1)
        Lˡ = ‖decodeˡ(encodeˡ(T(hˡ⁻¹))) − hˡ⁻¹‖²                                     (2)

    For `steps_per_layer` updates only the first layer learns, then only the second on what the
    first makes of images without noise, and so on. What lies below is left as it is. A batch has
    "image" [batch, height, width, channels]; there are no labels.

    Args:
        layers: autoencoders, the first of images, each other of the codes of the one before as
            images [1, 1, codes]; `encode` gives [batch, codes].
        optimizer: an optax transformation, whose schedule each layer begins anew.
        steps_per_layer: updates of each.
        corruption: T, (key, image) → image.

    Source: Bengio et al., 2007, https://papers.nips.cc/paper/3048, and Vincent et al., 2010,
    https://jmlr.org/papers/v11/vincent10a.html.
    """

    layers: Sequence[Any]
    optimizer: optax.GradientTransformation
    steps_per_layer: int
    corruption: Augmentation | None = None

    def init(self, key: Key[Array, ""], batch: Batch) -> Stack:
        """Initialises all layers."""
        x, networks = to_float(batch["image"]), []
        for number, layer in enumerate(self.layers):
            (_, codes), variables = layer.init_with_output(jax.random.fold_in(key, number), x)
            networks.append(TrainState.create(variables, self.optimizer))
            x = codes[:, None, None]
        return Stack(networks=tuple(networks), step=jnp.int32(0))

    def train_step(self, state: Stack, batch: Batch, key: Key[Array, ""]) -> tuple[Stack, Metrics]:
        """One update of the layer whose turn it is."""

        def update(number):
            def step(networks):
                network = networks[number]
                shown = batch | {"image": self._below(networks, batch, number)}
                loss = partial(self._loss, number)
                gradients, _, metrics = mean_gradients(loss, network.params, {}, shown, key)
                trained = network.apply(gradients, self.optimizer)
                return (*networks[:number], trained, *networks[number + 1 :]), metrics["loss"]

            return step

        turn = jnp.minimum(state.step // self.steps_per_layer, len(self.layers) - 1)
        branches = [update(number) for number in range(len(self.layers))]
        networks, loss = lax.switch(turn, branches, state.networks)
        here = jax.nn.one_hot(turn, len(self.layers))
        metrics = {"layer_error": Mean(here * loss.total, here * loss.count)}
        return Stack(networks=networks, step=state.step + 1), metrics

    def _below(self, networks: Sequence[TrainState], batch: Batch, number: int) -> Array:
        """What layer `number` is to reconstruct (1): images, or codes as images of one pixel."""
        x = to_float(batch["image"])
        for layer, network in zip(self.layers[:number], networks):
            x = layer.apply(network.variables, x, method="encode")[:, None, None]
        return x

    def _loss(self, number: int, params, model_state, batch: Batch, key: Key[Array, ""]):
        """The loss (2) of a layer on its own inputs, "image"."""
        inputs = seen = batch["image"]
        if self.corruption is not None:
            seen = augment_batch(self.corruption, key, inputs, batch["row"])
        outputs, _ = self.layers[number].apply({"params": params}, seen)
        loss = mean(jnp.square(outputs - inputs).sum((1, 2, 3)), batch["mask"])
        return loss, (model_state, {"loss": loss})

    def eval_step(self, state: Stack, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss (2) of every layer."""
        errors = []
        for number, network in enumerate(state.networks):
            shown = batch | {"image": self._below(state.networks, batch, number)}
            errors.append(self._loss(number, network.params, {}, shown, key)[0])
        return {"layer_error": Mean(*map(jnp.stack, zip(*errors)))}

    def encode(self, state: Stack, images: Array) -> Float[Array, "batch codes"]:
        """Codes of images in [0, 1], by all layers."""
        x = images
        for layer, network in zip(self.layers, state.networks):
            codes = layer.apply(network.variables, x, method="encode")
            x = codes[:, None, None]
        return codes

    def decode(self, state: Stack, codes: Float[Array, "batch codes"], depth: int) -> Array:
        """Images of the codes of the first `depth` layers."""
        for layer, network in reversed(list(zip(self.layers, state.networks))[:depth]):
            images = layer.apply(network.variables, codes, method="decode")
            codes = images.reshape(len(images), -1)
        return images

    def figures(self, state: Stack, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Images as they come back from each depth, and what the first layer looks for."""
        from jdl.tasks.drawing import first_filters, image_grid

        few = {name: array[:20] for name, array in batch.items()}
        images = to_float(few["image"])
        rows = [np.asarray(images)]
        for depth in range(1, len(self.layers) + 1):
            below = self._below(state.networks, few, depth).reshape(len(images), -1)
            rows.append(np.asarray(self.decode(state, below, depth)))
        drawn = {
            "reconstructions": image_grid(
                np.clip(np.concatenate(rows), 0, 1),
                columns=len(images),
                title="Images, and what comes back from each layer, the lowest first",
            )
        }
        first = jax.device_get(state.networks[0].params)
        filters = first_filters(first, images.shape[1:])
        if filters is not None:
            drawn["filters"] = image_grid(
                filters, columns=16, signed=True, title="Weights of the first layer"
            )
        return drawn
