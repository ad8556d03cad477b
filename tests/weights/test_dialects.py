import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.weights import from_names, to_names

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


@pytest.fixture(scope="module")
def vit():
    sizes = {"width": 8, "num_layers": 2, "num_heads": 2, "mlp_width": 12, "image_size": 32}
    model = jdl.create_model("vit_b_16", **sizes)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    draw = np.random.RandomState(0).standard_normal
    # All arrays differ, so that a mix-up shows.
    return model, jax.tree.map(lambda leaf: jnp.asarray(draw(leaf.shape), leaf.dtype), variables)


@pytest.mark.parametrize("dialect", VIT)
def test_vision_transformers_are_read_in_every_dialect(vit, dialect):
    model, variables = vit
    names = to_names(variables)
    if dialect == "Hugging Face":
        names = apart(names)
    foreign = renamed(names, VIT[dialect])
    assert set(foreign) != set(to_names(variables))
    loaded = from_names(model, foreign)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), loaded, variables))
