"""Dialects: how other libraries call the parts of a network that torchvision has named.

A dialect is an ordered list of substitutions from the foreign names to ours. Which one a checkpoint
speaks is found out by trying: the one under which most names are known. A replacement that ends in
`[0]`, `[1]`, ... makes the array a part of one of ours: parts are joined along the first axis.
"""

import re
from collections.abc import Mapping, Sequence

import flax.linen as nn
import numpy as np

Dialect = Sequence[tuple[str, str]]

# Counters and constants that torch stores and that no computation here needs.
IGNORED = re.compile(r"(^|\.)(num_batches_tracked|relative_position_index|attn_mask)$")

PART = re.compile(r"(.+)\[(\d)\]")

# timm merges patches where a stage begins, the authors where the stage before ends.
_SWIN, _SWIN_AUTHORS = (
    (
        *((rf"^layers\.{i}\.downsample\.", f"features.{2 * (i + late)}.") for i in range(4)),
        *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^patch_embed\.proj\.", "features.0.0."),
        (r"^patch_embed\.norm\.", "features.0.2."),
        (r"^head\.fc\.", "head."),
    )
    for late in (0, 1)
)

# By the class of the module.
DIALECTS: dict[str, tuple[Dialect, ...]] = {
    "VisionTransformer": (
        # torchvision's published files: its module renames these two as it reads them.
        ((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
        # timm
        (
            (r"^cls_token$", "class_token"),
            (r"^pos_embed$", "encoder.pos_embedding"),
            (r"^patch_embed\.proj\.", "conv_proj."),
            (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
            (r"\.norm([12])\.", r".ln_\1."),
            (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
            (r"\.attn\.proj\.", ".self_attention.out_proj."),
            (r"\.mlp\.fc1\.", ".mlp.0."),
            (r"\.mlp\.fc2\.", ".mlp.3."),
            (r"^norm\.", "encoder.ln."),
            (r"^head\.", "heads.head."),
        ),
        # Hugging Face
        (
            (r"^vit\.", ""),
            (r"^embeddings\.cls_token$", "class_token"),
            (r"^embeddings\.position_embeddings$", "encoder.pos_embedding"),
            (r"^embeddings\.patch_embeddings\.projection\.", "conv_proj."),
            (r"^encoder\.layer\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
            (r"\.layernorm_before\.", ".ln_1."),
            (r"\.layernorm_after\.", ".ln_2."),
            (r"\.attention\.attention\.query\.(\w+)$", r".self_attention.in_proj_\1[0]"),
            (r"\.attention\.attention\.key\.(\w+)$", r".self_attention.in_proj_\1[1]"),
            (r"\.attention\.attention\.value\.(\w+)$", r".self_attention.in_proj_\1[2]"),
            (r"\.attention\.output\.dense\.", ".self_attention.out_proj."),
            (r"\.intermediate\.dense\.", ".mlp.0."),
            (r"\.output\.dense\.", ".mlp.3."),
            (r"^layernorm\.", "encoder.ln."),
            (r"^classifier\.", "heads.head."),
        ),
    ),
    "SwinTransformer": (_SWIN, _SWIN_AUTHORS),
}


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
    found: dict[str, np.ndarray] = {}
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        # Distributed training leaves this prefix.
        name = name.removeprefix("module.")
        for pattern, replacement in dialect:
            name = re.sub(pattern, replacement, name)
        if part := PART.fullmatch(name):
            parts.setdefault(part[1], {})[int(part[2])] = array
        else:
            found[name] = array
    for name, pieces in parts.items():
        found[name] = np.concatenate([pieces[i] for i in sorted(pieces)])
    return found
