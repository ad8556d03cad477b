import importlib.util
from fnmatch import fnmatchcase

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.preprocessing import PREPROCESSING
from jdl.models.references import declare_operators
from jdl.ops.preprocessing import Preprocessing
from jdl.weights import load_pretrained, save_weights, to_names
from jdl.weights.files import write
from jdl.weights.pretrained import OTHERS, count_classes

from .test_dialects import in_the_first_copies

HAVE_TORCH = all(importlib.util.find_spec(m) for m in ("torch", "torchvision", "timm"))
# timm's names of the networks that our names stand for.
TIMM = {
    "mobilenet_v2": "mobilenetv2_100",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_b": "swin_base_patch4_window7_224",
}


@pytest.fixture(scope="module")
def lite():
    """EfficientNet-Lite0 of five classes, and weights drawn for it."""
    model = jdl.create_model("efficientnet_lite0", num_classes=5)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    draw = np.random.RandomState(0).standard_normal
    return model, jax.tree.map(lambda leaf: jnp.asarray(draw(leaf.shape), leaf.dtype), shapes)


@pytest.mark.slow
def test_the_file_says_how_many_classes_there_are(lite, tmp_path):
    model, variables = lite
    save_weights(model, variables, tmp_path / "five.safetensors")
    loaded, again, preprocessing = load_pretrained(
        "efficientnet_lite0", tmp_path / "five.safetensors"
    )
    assert loaded == model
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, again))
    assert preprocessing == PREPROCESSING["timm:efficientnet_lite0"]


@pytest.mark.slow
def test_other_names_tell_of_other_preprocessing(lite, tmp_path):
    model, variables = lite
    names = {in_the_first_copies(n, False): array for n, array in to_names(variables).items()}
    write(tmp_path / "google.safetensors", names)
    loaded, again, preprocessing = load_pretrained(
        "efficientnet_lite0", tmp_path / "google.safetensors"
    )
    assert loaded == model
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, again))
    eight_bits = np.arange(256) / 255
    normalised = (eight_bits - preprocessing.mean[0]) / preprocessing.deviation[0]
    np.testing.assert_allclose(normalised, (np.arange(256) - 127) / 128, atol=1e-12)


@pytest.mark.skipif(not HAVE_TORCH, reason="needs torch, torchvision and timm")
@pytest.mark.parametrize("name", TIMM)
def test_timm_says_the_same(name):
    declare_operators()
    import timm
    import torch

    [(telling, ours)] = [others[1:] for others in OTHERS if fnmatchcase(name, others[0])]
    config = timm.get_pretrained_cfg(TIMM[name])
    _, height, width = config.input_size
    assert ours == Preprocessing(
        int(height / config.crop_pct), width, config.mean, config.std, config.interpolation
    )
    with torch.device("meta"):
        assert telling in timm.create_model(TIMM[name]).state_dict()


def test_a_checkpoint_without_a_head_has_the_models_classes():
    model = jdl.create_model("resnet20_cifar", stage_sizes=(1,), num_classes=4)
    assert count_classes(model, {"conv1.weight": np.zeros(1)}) == 4


def test_models_that_take_no_photographs_are_refused(tmp_path):
    with pytest.raises(UserError, match="nothing is known of what lenet5 expects of photographs"):
        load_pretrained("lenet5", tmp_path / "lenet5.safetensors")
