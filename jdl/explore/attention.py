"""Where a Vision Transformer looks: attention, rolled out from the last layer to the patches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.explore.features import features, offered

Weights = Float[Array, "batch heads tokens tokens"]


def attention_rollout(weights: Sequence[Weights]) -> Float[Array, "batch tokens tokens"]:
    """Follows attention through all layers, down to the tokens that the first one is given.

    Half of what a layer passes on is what it was given, for its residual; heads count alike:

        Aₗ = ½ meanₕ Wₗₕ + ½ I,  its rows divided by their sums                      (1)
        R = A_L ⋯ A₂ A₁                                                             (2)

    Args:
        weights: W of each layer, the first one first; rows sum to 1.

    Returns:
        R: how much of each token (column) is in each token of the last layer (row).

    Raises:
        UserError: there is no layer.

    Example:
        >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])[None, None]
        >>> attention_rollout([swap, swap])[0].tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Source: Abnar and Zuidema, 2020, https://arxiv.org/abs/2005.00928, section 3.
    """
    if not weights:
        raise UserError("attention is rolled out through layers, and there is none")
    batch, _, tokens, _ = weights[0].shape
    rollout = jnp.broadcast_to(jnp.eye(tokens), (batch, tokens, tokens))
    for layer in weights:
        mixed = (layer.mean(1) + jnp.eye(tokens)[None]) / 2
        rollout = mixed / mixed.sum(-1, keepdims=True) @ rollout
    return rollout


def attention_map(
    model: nn.Module, variables: Mapping[str, Any], images: Any
) -> Float[Array, "batch rows columns"]:
    """Says how much of each patch is in what a Vision Transformer classifies by.

    Args:
        model: a `VisionTransformer`, of square images.
        variables: its own.
        images: a batch.

    Returns:
        The row of equation (2) of `attention_rollout` that belongs to the class token, or the mean
        of the patches' rows where the model pools their mean, divided by its sum.

    Raises:
        UserError: no layer of the model offers attention of all tokens to all.

    Example:
        >>> import jax
        >>> from jdl.models import vit_ti_16
        >>> model = vit_ti_16(image_size=32, num_layers=2)
        >>> images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> jax.eval_shape(lambda v, x: attention_map(model, v, x), variables, images).shape
        (1, 2, 2)
    """
    names = attention_layers(model, variables, images)
    if not names:
        raise UserError(f"{type(model).__name__} offers no attention among all its tokens")
    rollout = attention_rollout(list(features(model, variables, images, names=names).values()))
    rows = rollout[:, :1] if getattr(model, "pool", "token") == "token" else rollout[:, 1:]
    patches = rows.mean(1)[:, 1:]
    patches = patches / patches.sum(-1, keepdims=True)
    side = math.isqrt(patches.shape[1])
    return patches.reshape(-1, side, side)


def attention_layers(model: nn.Module, variables: Mapping[str, Any], images: Any) -> list[str]:
    """Lists the attention weights that a Vision Transformer offers, those of the first layer first.

    Args:
        model: of images.
        variables: its own, or their shapes.
        images: a batch, or its shape.

    Returns:
        Names for `jdl.features`; none where not all tokens attend to all.

    Example:
        >>> import jax
        >>> from jdl.models import vit_ti_16
        >>> model = vit_ti_16(image_size=32, num_layers=2)
        >>> images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> attention_layers(model, variables, images)[-1]
        'encoder.layers.encoder_layer_1.self_attention.weights'
    """
    found = offered(model, variables, images)
    return [name for name in found if name.endswith("self_attention.weights")]
