import importlib.util
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore import bench as module
from jdl.explore.bench import bench, compiled_step
from jdl.layers.normalization import BatchNorm
from jdl.ops.lowering import is_plain

HAVE_TORCH = all(importlib.util.find_spec(m) for m in ("torch", "torchvision"))


@pytest.mark.parametrize(("mode", "passes"), [("infer", 1), ("train", 3)])
def test_a_tiny_network_against_plain_layers(mode, passes):
    timing = bench("lenet5", mode, "flax", batch=2, repeats=3)
    assert timing.flops == passes * 2 * 2 * jdl.summary("lenet5").total_macs
    assert len(timing.ours) == len(timing.theirs) == 3
    assert min(timing.ours + timing.theirs) > 0
    assert timing.ratio == np.median(np.divide(timing.ours, timing.theirs))
    assert timing.memory_bytes > 4 * 61_706
    assert timing.compile_seconds > 0
    title, ratio, *_ = str(timing).splitlines()
    assert title == f"lenet5, {mode}, 2×28×28×1, float32, against flax"
    assert ratio.startswith(f"ratio    {timing.ratio:.2f} (")


def test_the_plain_peer_is_traced_with_lax_and_ours_is_not(monkeypatch):
    seen = []
    model = jdl.create_model("lenet5_relu")
    original = type(model).__call__

    def spy(self, *args, **kwargs):
        seen.append(is_plain())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "__call__", spy)
    images = (jnp.ones((1, 28, 28, 1)),)
    compiled_step(model, images, "infer")
    assert not any(seen)
    seen.clear()
    compiled_step(model, images, "infer", plain=True)
    assert all(seen)
    assert seen


def test_a_step_of_training_descends_and_moves_the_running_statistics(monkeypatch):
    class Tiny(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            x = BatchNorm(train=train, name="bn1")(x)
            return nn.Dense(3)(x)

    kept = []
    block = jax.block_until_ready
    monkeypatch.setattr(module.jax, "block_until_ready", lambda x: kept.append(block(x)))
    step, _, _ = compiled_step(Tiny(), (jax.random.normal(jax.random.key(1), (4, 2)),), "train")
    step()
    (first, _) = jax.device_get(kept[-1])
    step()
    (second, _) = jax.device_get(kept[-1])
    for part in ("params", "batch_stats"):
        a, b = first[part]["bn1"], second[part]["bn1"]
        assert any(np.any(a[name] != b[name]) for name in a), part


def test_images_of_another_size():
    _, (images,) = module._build("resnet20_cifar", 2, 16, "float32")
    assert images.shape == (2, 16, 16, 3)
    model, (images,) = module._build("vit_ti_16", 1, 64, "bfloat16")
    assert images.shape == (1, 64, 64, 3)
    assert model.image_size == 64
    assert model.dtype == jnp.bfloat16


@pytest.mark.slow
@pytest.mark.skipif(not HAVE_TORCH, reason="needs torch and torchvision")
def test_against_torch():
    timing = bench("resnet18", "train", "torch", batch=2, size=32, repeats=1)
    assert min(timing.ours + timing.theirs) > 0


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("lenet5", "fly"), {}, "unknown mode 'fly'; it is infer or train"),
        (("lenet5", "infer", "caffe"), {}, "it is one of torch, keras, flax"),
        (("lenet5",), {}, "lenet5 has no reference network to compare with"),
        (("gpt2",), {"batch": 1}, "no network of torchvision, timm or diffusers"),
        (("lenet5", "infer", "flax"), {"batch": 0}, "1 or more"),
        (("lenet5", "infer", "flax"), {"dtype": "int8"}, "unknown dtype 'int8'"),
        (("gpt2", "infer", "flax"), {"size": 3}, "takes no images"),
        (("vae", "infer", "flax"), {}, "one array of logits"),
    ],
)
def test_what_cannot_be_timed_is_said(arguments, options, sentence):
    with pytest.raises(UserError, match=sentence):
        bench(*arguments, **options)


@pytest.mark.parametrize(("peer", "missing"), [("torch", "torch"), ("keras", "keras")])
def test_a_library_that_is_not_installed_is_named(peer, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"{missing} is not installed"):
        bench("resnet18", "infer", peer, batch=1, size=32)
