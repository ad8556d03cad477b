"""Dialects: how other libraries call the parts of a network that torchvision has named.

A dialect is an ordered list of substitutions from the foreign names to ours. Which one a checkpoint
speaks is found out by trying: the one under which most names are known.
"""

import re
from collections.abc import Mapping, Sequence

import flax.linen as nn
import numpy as np

Dialect = Sequence[tuple[str, str]]

# Counters and constants that torch stores and that no computation here needs.
IGNORED = re.compile(r"(^|\.)num_batches_tracked$")

# By the class of the module.
DIALECTS: dict[str, tuple[Dialect, ...]] = {}


def to_own_names(
    module: nn.Module, arrays: Mapping[str, np.ndarray], expected: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Renames a checkpoint's arrays to the names that a model expects.

    Args:
        module: the model.
        arrays: by the names of any dialect.
        expected: the model's own names.

    Returns:
        The arrays by the names of the best fitting dialect.

    Example:
        >>> to_own_names(nn.Dense(1), {"module.weight": np.ones(1)}, {"weight": None})
        {'weight': array([1.])}
    """
    dialects = ((), *DIALECTS.get(type(module).__name__, ()))
    candidates = [_translate(arrays, dialect) for dialect in dialects]
    return max(candidates, key=lambda found: sum(name in expected for name in found))


def _translate(arrays: Mapping[str, np.ndarray], dialect: Dialect) -> dict[str, np.ndarray]:
    found = {}
    for name, array in arrays.items():
        # Distributed training leaves this prefix.
        name = name.removeprefix("module.")
        for pattern, replacement in dialect:
            name = re.sub(pattern, replacement, name)
        found[name] = array
    return found
