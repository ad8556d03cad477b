import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.weights import files, from_names, load_weights, save_weights, to_names

LAYER = "encoder.layers.encoder_layer_"
VIT = {
    "torchvision's published files": {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."},
    "timm": {
        "class_token": "cls_token",
        "encoder.pos_embedding": "pos_embed",
        "conv_proj": "patch_embed.proj",
        LAYER: "blocks.",
        ".ln_": ".norm",
        "self_attention.in_proj_": "attn.qkv.",
        "self_attention.out_proj": "attn.proj",
        "mlp.0": "mlp.fc1",
        "mlp.3": "mlp.fc2",
        "encoder.ln": "norm",
        "heads.head": "head",
    },
    "Hugging Face": {
        "class_token": "vit.embeddings.cls_token",
        "encoder.pos_embedding": "vit.embeddings.position_embeddings",
        "conv_proj": "vit.embeddings.patch_embeddings.projection",
        LAYER: "vit.encoder.layer.",
        "ln_1": "layernorm_before",
        "ln_2": "layernorm_after",
        "self_attention.out_proj": "attention.output.dense",
        "mlp.0": "intermediate.dense",
        "mlp.3": "output.dense",
        "encoder.ln": "vit.layernorm",
        "heads.head": "classifier",
    },
}

PARTS = {"mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}
EMBEDDING = {"features.0.0": "patch_embed.proj", "features.0.2": "patch_embed.norm"}
BLOCKS = {f"features.{2 * i + 1}.": f"layers.{i}.blocks." for i in range(4)}
SWIN = {
    "timm": {
        **PARTS,
        **EMBEDDING,
        **BLOCKS,
        **{f"features.{2 * i}.": f"layers.{i}.downsample." for i in (1, 2, 3)},
        "head.": "head.fc.",
    },
    "the authors": {
        **PARTS,
        **EMBEDDING,
        **BLOCKS,
        **{f"features.{2 * i}.": f"layers.{i - 1}.downsample." for i in (1, 2, 3)},
    },
}


def renamed(names, table):
    found = {}
    for name, array in names.items():
        for own, foreign in table.items():
            name = name.replace(own, foreign)
        found[name] = array
    return found


def apart(names):
    """Cuts fused projections into query, key and value, as Hugging Face keeps them."""
    found = {}
    for name, array in names.items():
        if fused := re.fullmatch(r"(.+)\.self_attention\.in_proj_(\w+)", name):
            for part, piece in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                found[f"{fused[1]}.attention.attention.{part}.{fused[2]}"] = piece
        else:
            found[name] = array
    return found


def drawn(model):
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    draw = np.random.RandomState(0).standard_normal
    # All arrays differ, so that a mix-up shows.
    return jax.tree.map(lambda leaf: jnp.asarray(draw(leaf.shape), leaf.dtype), variables)


def equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


@pytest.mark.parametrize("dialect", VIT)
def test_vision_transformers_are_read_in_every_dialect(dialect):
    sizes = {"width": 8, "num_layers": 2, "num_heads": 2, "mlp_width": 12, "image_size": 32}
    model = jdl.create_model("vit_b_16", **sizes)
    variables = drawn(model)
    names = to_names(variables)
    if dialect == "Hugging Face":
        names = apart(names)
    foreign = renamed(names, VIT[dialect])
    assert set(foreign) != set(to_names(variables))
    assert equal(from_names(model, foreign), variables)


@pytest.fixture(scope="module")
def swin():
    model = jdl.create_model("swin_t", width=8, num_heads=(1, 2, 2, 4), stage_sizes=(1, 2, 1, 1))
    return model, drawn(model)


@pytest.mark.parametrize("dialect", SWIN)
def test_swins_are_read_in_every_dialect(swin, dialect):
    model, variables = swin
    foreign = renamed(to_names(variables), SWIN[dialect])
    foreign["layers.1.blocks.1.attn_mask"] = np.zeros((16, 49, 49), np.float32)
    assert equal(from_names(model, foreign), variables)


def test_swins_are_written_with_the_constants_that_torch_expects(swin, tmp_path):
    model, variables = swin
    file = tmp_path / "swin.safetensors"
    save_weights(model, variables, file)
    written = files.read(file)
    indices = {name for name in written if name.endswith("relative_position_index")}
    tables = {name for name in written if name.endswith("relative_position_bias_table")}
    assert {name.replace("bias_table", "index") for name in tables} == indices
    assert len(indices) == 5
    index = written[min(indices)]
    assert (index.shape, index.dtype, index.max()) == ((49**2,), np.int64, 168)
    assert equal(load_weights(model, file), variables)


FIRSTS = {1: 0, 2: 1, 3: 3, 4: 5, 5: 8, 6: 11, 7: 15}  # blocks before each stage
ENDS = {
    "features.0.0.": "_conv_stem.",
    "features.0.1.": "_bn0.",
    "features.8.0.": "_conv_head.",
    "features.8.1.": "_bn1.",
    "classifier.1.": "_fc.",
}


def in_the_first_copies(name, squeeze):
    """The name of a parameter in the first copies of EfficientNet for torch."""
    place = re.fullmatch(r"features\.(\d)\.(\d)\.block\.(\d)\.(\w+)\.(\w+)", name)
    if not place:
        start = next(start for start in ENDS if name.startswith(start))
        return name.replace(start, ENDS[start])
    stage, i, part, layer, leaf = place.groups()
    parts = ["expand"] * (stage != "1") + ["depthwise"] + ["se"] * squeeze + ["project"]
    part = parts[int(part)]
    if part == "se":
        layer = {"fc1": "_se_reduce", "fc2": "_se_expand"}[layer]
    elif layer == "0":
        layer = f"_{part}_conv"
    else:
        layer = f"_bn{('expand', 'depthwise', 'project').index(part)}"
    return f"_blocks.{FIRSTS[int(stage)] + int(i)}.{layer}.{leaf}"


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0"])
def test_efficientnets_are_read_from_their_first_copies(name):
    model = jdl.create_model(name, width=0.25, num_classes=5)
    variables = drawn(model)
    names = to_names(variables)
    foreign = {in_the_first_copies(own, name.endswith("b0")): a for own, a in names.items()}
    assert len(foreign) == len(names)
    assert not set(foreign) & set(names)
    assert equal(from_names(model, foreign), variables)


def test_densenets_are_read_from_torchvisions_published_files():
    model = jdl.create_model("densenet121", block_sizes=(2, 2), growth_rate=4)
    variables = drawn(model)
    names = to_names(variables)
    dotted = lambda name: re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name)
    foreign = {dotted(name): array for name, array in names.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in foreign
    assert equal(from_names(model, foreign), variables)
