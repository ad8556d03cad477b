"""A network as a file of weights wants it: its classes, and what it expects of photographs."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np

from jdl.errors import UserError
from jdl.models.registry import create_model, model_info
from jdl.ops.preprocessing import Preprocessing
from jdl.weights import files
from jdl.weights.dialects import to_own_names
from jdl.weights.door import from_names
from jdl.weights.layout import torch_name
from jdl.weights.leaves import following, shapes

_HALF = (0.5, 0.5, 0.5)

# Files with other names than the reference's were trained by others, on photographs that were
# prepared otherwise: models, the array that tells, and what it means.
OTHERS = (
    # Google's weights: (x − 127) / 128, in 8 bits.
    (
        "efficientnet_lite0",
        "_conv_stem.weight",
        Preprocessing(mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3, interpolation="bicubic"),
    ),
    # timm's, under the names that stand for them there.
    ("mobilenet_v2", "conv_stem.weight", Preprocessing(interpolation="bicubic")),
    (
        "vit_[bl]_*",
        "patch_embed.proj.weight",
        Preprocessing(248, 224, _HALF, _HALF, "bicubic"),
    ),
    ("swin_[tsb]", "patch_embed.proj.weight", Preprocessing(248, 224, interpolation="bicubic")),
)


def load_pretrained(name: str, path: str | Path) -> tuple[nn.Module, dict[str, Any], Preprocessing]:
    """Builds a network for a file of weights: with as many classes as the file has.

    Whose weights they are, is told by the names in the file: those of the reference are expected to
    be the reference's, even where `save_weights` has written another's so.

    Args:
        name: of a model whose reference takes photographs.
        path: of the weights, as for `load_weights`.

    Returns:
        The module, its variables, and what they expect of a photograph.

    Raises:
        UserError: as `load_weights`; or no such model, or it is none for photographs.

    Example:
        >>> load_pretrained("gpt2", "gpt2.safetensors")
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: nothing is known of what gpt2 expects of photographs: it has no \
reference that takes them
    """
    expected = model_info(name).preprocessing
    if expected is None:
        raise UserError(
            f"nothing is known of what {name} expects of photographs: it has no reference that "
            "takes them"
        )
    arrays = files.read(path)
    model = create_model(name, num_classes=count_classes(create_model(name), arrays))
    for models, telling, others in OTHERS:
        if fnmatchcase(name, models) and telling in arrays:
            expected = others
    return model, from_names(model, arrays, str(path)), expected


def count_classes(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> int:
    """Returns for how many classes a checkpoint's head is; the model's number if it has none.

    Args:
        model: with `num_classes`, of any number.
        arrays: of the checkpoint, under any names.

    Example:
        >>> from jdl.models import resnet18
        >>> count_classes(resnet18(), {"fc.bias": np.zeros(7)})
        7
    """
    names = {torch_name(path[1:]): path for path in shapes(model)}
    found = to_own_names(model, arrays, names)
    head = following(model, "num_classes")
    for name, path in names.items():
        if path in head and path[-1] == "bias" and name in found:
            return len(found[name])
    return model.num_classes  # type: ignore[attr-defined]
