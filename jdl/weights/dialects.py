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

# Counters and constants that torch stores and that no computation here needs; and heads that are
# there for training only: the auxiliary ones of the Inception and the segmentation networks, and
# those of BERT's pretraining, one of which is another copy of the embeddings. GPT's causal mask
# goes by the name of a bias, and its head is the embedding. FCN's kernels that enlarge are fixed.
IGNORED = re.compile(
    r"(^|\.)(num_batches_tracked|relative_position_index|attn_mask|position_ids)$"
    r"|^(aux[12]|AuxLogits|aux_classifier|cls)\.|^h\.\d+\.attn\.(masked_)?bias$"
    r"|^lm_head\.weight$|^upscore\w*\.weight$"
)

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

# timm's networks of inverted residuals. Blocks are named first, so that what a layer is called can
# depend on where it is: the blocks of the first stage have no expansion.
_TIMM_INVERTED = (
    (r"^conv_stem\.", "features.0.0."),
    (r"^bn1\.", "features.0.1."),
    (r"^classifier\.", "classifier.1."),
    (r"\.conv_pw\.", ".0.0."),
    (r"\.bn1\.", ".0.1."),
    (r"\.conv_dw\.", ".1.0."),
    (r"\.bn2\.", ".1.1."),
)
_TIMM_MOBILENET_V2 = (
    (r"^conv_head\.", "features.18.0."),
    (r"^bn2\.", "features.18.1."),
    (r"^blocks\.0\.0\.conv_dw\.", "features.1.conv.0.0."),
    (r"^blocks\.0\.0\.bn1\.", "features.1.conv.0.1."),
    (r"^blocks\.0\.0\.conv_pw\.", "features.1.conv.1."),
    (r"^blocks\.0\.0\.bn2\.", "features.1.conv.2."),
    # timm counts the blocks of each stage, torchvision counts on.
    *(
        (rf"^blocks\.{stage}\.{i}\.", f"features.{first + i}.conv.")
        for stage, first in enumerate((2, 4, 7, 11, 14, 17), start=1)
        for i in range(4)
    ),
    (r"\.conv_pwl\.", ".2."),
    (r"\.bn3\.", ".3."),
    *_TIMM_INVERTED,
)
# The last convolution of a block comes behind the squeeze-and-excitation, where there is one.
_TIMM_EFFICIENTNET, _TIMM_EFFICIENTNET_LITE = (
    (
        (r"^conv_head\.", "features.8.0."),
        (r"^bn2\.", "features.8.1."),
        (r"^blocks\.0\.(\d+)\.conv_dw\.", r"features.1.\1.block.0.0."),
        (r"^blocks\.0\.(\d+)\.bn1\.", r"features.1.\1.block.0.1."),
        (r"^blocks\.0\.(\d+)\.se\.", r"features.1.\1.block.1."),
        (r"^blocks\.0\.(\d+)\.conv_pw\.", rf"features.1.\1.block.{last - 1}.0."),
        (r"^blocks\.0\.(\d+)\.bn2\.", rf"features.1.\1.block.{last - 1}.1."),
        *(
            (rf"^blocks\.{stage}\.(\d+)\.", rf"features.{stage + 1}.\1.block.")
            for stage in range(1, 7)
        ),
        (r"\.se\.", ".2."),
        (r"\.conv_reduce\.", ".fc1."),
        (r"\.conv_expand\.", ".fc2."),
        (r"\.conv_pwl\.", f".{last}.0."),
        (r"\.bn3\.", f".{last}.1."),
        *_TIMM_INVERTED,
    )
    for last in (3, 2)
)

# The first copies of the weights for torch, of B0 and Lite0: blocks are counted from end to end.
_FIRST_EFFICIENTNET, _FIRST_EFFICIENTNET_LITE = (
    (
        (r"^_conv_stem\.", "features.0.0."),
        (r"^_bn0\.", "features.0.1."),
        (r"^_conv_head\.", "features.8.0."),
        (r"^_bn1\.", "features.8.1."),
        (r"^_fc\.", "classifier.1."),
        (r"\._se_reduce\.", "._se.fc1."),
        (r"\._se_expand\.", "._se.fc2."),
        (r"^_blocks\.0\._depthwise_conv\.", "features.1.0.block.0.0."),
        (r"^_blocks\.0\._bn1\.", "features.1.0.block.0.1."),
        (r"^_blocks\.0\._se\.", "features.1.0.block.1."),
        (r"^_blocks\.0\._project_conv\.", f"features.1.0.block.{last - 1}.0."),
        (r"^_blocks\.0\._bn2\.", f"features.1.0.block.{last - 1}.1."),
        *(
            (rf"^_blocks\.{first + i}\.", f"features.{stage}.{i}.block.")
            for stage, (first, count) in enumerate(
                ((1, 2), (3, 2), (5, 3), (8, 3), (11, 4), (15, 1)), start=2
            )
            for i in range(count)
        ),
        (r"\._expand_conv\.", ".0.0."),
        (r"\._bn0\.", ".0.1."),
        (r"\._depthwise_conv\.", ".1.0."),
        (r"\._bn1\.", ".1.1."),
        (r"\._se\.", ".2."),
        (r"\._project_conv\.", f".{last}.0."),
        (r"\._bn2\.", f".{last}.1."),
    )
    for last in (3, 2)
)

# BERT's first files called the parts of a norm as TensorFlow did.
_FIRST_BERT = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))

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
    # torchvision's published files, of the days when names could have dots.
    "DenseNet": (((r"\.(norm|conv)\.([12])\.", r".\1\2."),),),
    # Hugging Face, with a head.
    "GPT": (((r"^transformer\.", ""),),),
    "MobileNetV2": (_TIMM_MOBILENET_V2,),
    "EfficientNet": (
        _TIMM_EFFICIENTNET,
        _TIMM_EFFICIENTNET_LITE,
        _FIRST_EFFICIENTNET,
        _FIRST_EFFICIENTNET_LITE,
    ),
    # Networks around BERT hold it under this name.
    "BERT": (((r"^bert\.", ""), *_FIRST_BERT), _FIRST_BERT),
    "BERTForPreTraining": (_FIRST_BERT,),
    "BERTForSequenceClassification": (_FIRST_BERT,),
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
