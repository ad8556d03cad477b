"""What is said of published weights is what torchvision and timm say, and their very numbers."""

import importlib.util
import math
from types import SimpleNamespace

import numpy as np
import pytest

import jdl
from jdl.models.preprocessing import PREPROCESSING
from jdl.models.references import declare_operators
from jdl.ops.preprocessing import Preprocessing, preprocess

from .test_parity import NAMES

HAVE_TORCH = all(importlib.util.find_spec(m) for m in ("torch", "torchvision", "timm"))
needs_torch = pytest.mark.skipif(not HAVE_TORCH, reason="needs torch, torchvision and timm")

# torchvision's networks for which its transforms are not all: they begin with one of their own.
SHIFTED = ("googlenet", "inception_v3")


# The networks of torchvision and timm that name what a photograph shows: they take a square of it.
CLASSIFIERS = [name for name in NAMES if not name.startswith("fcn_")]


def references(library):
    found = (jdl.model_info(name).reference for name in CLASSIFIERS)
    return [ref.partition(":")[2] for ref in found if ref.startswith(library)]


def torchvision_transforms(name):
    """The transforms of the weights that are documented: the first, at 224 pixels."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(name)
    first = "IMAGENET1K_V1" if name != "vit_h_14" else "IMAGENET1K_SWAG_LINEAR_V1"
    return weights[first].transforms()


def timm_transforms(name):
    import timm
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return config, create_transform(**config, is_training=False)


def test_every_classifier_of_torchvision_and_timm_is_known_and_none_else():
    assert {jdl.model_info(name).reference for name in CLASSIFIERS} == set(PREPROCESSING)
    for name in jdl.list_models():
        assert (jdl.model_info(name).preprocessing is not None) == (name in CLASSIFIERS)


@needs_torch
@pytest.mark.parametrize("name", references("torchvision"))
def test_torchvision_says_the_same(name):
    declare_operators()
    theirs = torchvision_transforms(name)
    ours = PREPROCESSING[f"torchvision:{name}"]
    assert ([ours.resize], [ours.crop]) == (theirs.resize_size, theirs.crop_size)
    assert ours.interpolation == theirs.interpolation.value
    if name in SHIFTED:
        assert (ours.mean, ours.deviation) == ((0.5,) * 3, (0.5,) * 3)
    else:
        assert (list(ours.mean), list(ours.deviation)) == (theirs.mean, theirs.std)


@needs_torch
@pytest.mark.parametrize("name", references("timm"))
def test_timm_says_the_same(name):
    declare_operators()
    config, _ = timm_transforms(name)
    _, height, width = config["input_size"]
    assert config["crop_mode"] == "center"
    assert PREPROCESSING[f"timm:{name}"] == Preprocessing(
        math.floor(height / config["crop_pct"]),
        width,
        config["mean"],
        config["std"],
        config["interpolation"],
    )


def photographs():
    data = pytest.importorskip("skimage.data")
    wide, tall = data.chelsea(), data.rocket().transpose(1, 0, 2)[:, 3:]
    return [wide, tall, np.ascontiguousarray(wide[:97, :71])]  # the last is enlarged


@needs_torch
@pytest.mark.parametrize(
    "name",
    ["resnet18", "efficientnet_b0", "efficientnet_b5", "swin_s", "vit_l_16", *SHIFTED],
)
def test_pixels_are_torchvisions(name):
    from PIL import Image

    declare_operators()
    import torchvision

    transforms = torchvision_transforms(name)
    for x in photographs():
        y = transforms(Image.fromarray(x))[None]
        if name in SHIFTED:
            shifts = SimpleNamespace(transform_input=True)
            y = torchvision.models.GoogLeNet._transform_input(shifts, y)
        ours = preprocess(x, PREPROCESSING[f"torchvision:{name}"])
        np.testing.assert_allclose(ours, y[0].permute(1, 2, 0).numpy(), rtol=0, atol=2e-6)


@needs_torch
@pytest.mark.parametrize("name", references("timm"))
def test_pixels_are_timms(name):
    from PIL import Image

    declare_operators()
    _, transforms = timm_transforms(name)
    for x in photographs():
        ours = preprocess(x, PREPROCESSING[f"timm:{name}"])
        theirs = transforms(Image.fromarray(x)).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)
