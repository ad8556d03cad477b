"""Constants and copies that torch keeps among a network's weights, and that are computed here."""

import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import numpy as np

from jdl.models.vision.swin import relative_position_index

Arrays = dict[str, np.ndarray]


def constants(module: nn.Module, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Returns what a torch module expects in a file beside a model's own arrays.

    Args:
        module: the model.
        arrays: its own, by the reference's names.

    Returns:
        Constants and copies, by the reference's names.

    Example:
        >>> constants(nn.Dense(1), {"weight": np.ones((1, 1))})
        {}
    """
    compute = CONSTANTS.get(type(module).__name__)
    return compute(arrays) if compute else {}


def _position_indices(arrays: Mapping[str, np.ndarray]) -> Arrays:
    indices = {}
    for name, array in arrays.items():
        prefix, _, leaf = name.rpartition(".")
        if leaf == "relative_position_bias_table":
            window = (math.isqrt(len(array)) + 1) // 2
            indices[f"{prefix}.relative_position_index"] = relative_position_index(window).ravel()
    return indices


def _decoder(arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {
        "cls.predictions.decoder.weight": arrays["bert.embeddings.word_embeddings.weight"],
        "cls.predictions.decoder.bias": arrays["cls.predictions.bias"],
    }


# By the class of the module.
CONSTANTS: dict[str, Callable[[Mapping[str, np.ndarray]], Arrays]] = {
    "SwinTransformer": _position_indices,
    "BERTForPreTraining": _decoder,
}
