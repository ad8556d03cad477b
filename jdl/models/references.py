"""The networks that the registry's `reference` names, as their libraries build them."""

import importlib
from collections.abc import Sequence
from typing import Any

from jdl.errors import UserError


def torch_network(reference: str) -> Any:
    """Builds a network of torchvision, timm or diffusers, with random weights.

    Args:
        reference: the library and the name there, as "torchvision:resnet50".

    Returns:
        A `torch.nn.Module`, set to inference.

    Raises:
        UserError: it is of another library, or the library is not installed.
    """
    library, _, theirs = reference.partition(":")
    if library not in ("torchvision", "timm") and theirs not in _UNETS:
        raise UserError(f"{reference!r} is no network of torchvision, timm or diffusers")
    declare_operators()
    module = _import(library)
    if library == "diffusers":
        return diffusers_unet(*_UNETS[theirs])
    if library == "timm":
        return module.create_model(theirs, pretrained=False).eval()
    options = _OPTIONS.get(theirs, {})
    network = module.models.get_model(theirs, weights=None, **options).eval()
    if theirs.startswith("fcn_"):
        # Their logits come in a dictionary, where those of an auxiliary head would stand beside.
        network.register_forward_hook(lambda network, images, answers: answers["out"])
    return network


def diffusers_unet(channels: Sequence[int], attention: int) -> Any:
    """Builds a UNet2DModel as DDPM's were converted to it, with random weights.

    Args:
        channels: of each level.
        attention: the level that attends.

    Returns:
        A `torch.nn.Module`, set to inference.

    Raises:
        UserError: diffusers is not installed.
    """
    declare_operators()
    attends = [level == attention for level in range(len(channels))]
    network = _import("diffusers").UNet2DModel(
        block_out_channels=tuple(channels),
        down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        attention_head_dim=None,
        norm_eps=1e-6,
        norm_num_groups=min(32, min(channels) // 4),
    )
    return network.eval()


def keras_network(name: str, shape: tuple[int, ...]) -> Any:
    """Builds the network of the same name of `keras.applications`, with random weights.

    Args:
        name: such as "efficientnet_b0" for EfficientNetB0.
        shape: height, width and channels of the images.

    Returns:
        A `keras.Model`.

    Raises:
        UserError: there is none of the name, or Keras is not installed.
    """
    applications = _import("keras").applications
    builders = {key.lower(): key for key in dir(applications) if key[0].isupper()}
    theirs = builders.get(name.replace("_", ""))
    if theirs is None:
        raise UserError(f"keras.applications has no {name}")
    return getattr(applications, theirs)(weights=None, input_shape=shape)


# Channels of each level, and which level attends.
_UNETS = {
    "google/ddpm-cifar10-32": ((128, 256, 256, 256), 1),
    "google/ddpm-celebahq-256": ((128, 128, 256, 256, 512, 512), 4),
}
# Their truncated normals are drawn by SciPy, one by one: minutes.
_INCEPTION = {"init_weights": False, "aux_logits": False}
# Otherwise the ResNet within is downloaded.
_FCN = {"weights_backbone": None}
_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": _INCEPTION,
    "inception_v3": _INCEPTION,
    "fcn_resnet50": _FCN,
    "fcn_resnet101": _FCN,
}
_declared: list = []


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise UserError(f"{package} is not installed: pip install {package}") from None


def declare_operators() -> None:
    """Declares two operators whose compiled form some wheels lack: torchvision asks for them.

    Raises:
        UserError: torch is not installed.
    """
    torch = _import("torch")
    if _declared or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
