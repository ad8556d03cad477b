import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.generative.ddpm_unet import AttentionBlock, embed_timesteps
from jdl.models.generative.text_encoder import TextEncoder

TINY = {
    "channels": 8,
    "channel_multipliers": (1, 2),
    "num_res_blocks": 1,
    "num_groups": 4,
}


def shaken(variables):
    """Replaces parameters that start at zero, so that everything has an effect."""
    random = np.random.RandomState(7)
    return jax.tree.map(lambda p: p + 0.1 * random.randn(*p.shape).astype(np.float32), variables)


def test_names_of_diffusers():
    parameters = jax.eval_shape(
        jdl.create_model("ddpm_cifar10").init,
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
        jnp.zeros(1),
    )["params"]
    blocks = {f"down_blocks.{i}.resnets.{j}" for i in range(4) for j in range(2)}
    blocks |= {f"up_blocks.{i}.resnets.{j}" for i in range(4) for j in range(3)}
    blocks |= {f"down_blocks.1.attentions.{j}" for j in range(2)}
    blocks |= {f"up_blocks.2.attentions.{j}" for j in range(3)}
    blocks |= {f"down_blocks.{i}.downsamplers.0.conv" for i in range(3)}
    blocks |= {f"up_blocks.{i}.upsamplers.0.conv" for i in range(3)}
    blocks |= {"mid_block.resnets.0", "mid_block.resnets.1", "mid_block.attentions.0"}
    ends = {"conv_in", "conv_norm_out", "conv_out"}
    ends |= {"time_embedding.linear_1", "time_embedding.linear_2"}
    assert set(parameters) == blocks | ends
    parts = {"norm1", "conv1", "time_emb_proj", "norm2", "conv2"}
    assert set(parameters["down_blocks.0.resnets.0"]) == parts
    assert set(parameters["up_blocks.3.resnets.2"]) == parts | {"conv_shortcut"}
    assert set(parameters["mid_block.attentions.0"]) == {
        "group_norm",
        "to_q",
        "to_k",
        "to_v",
        "to_out.0",
    }


def test_starts_by_predicting_nothing_and_has_the_images_shape():
    model = jdl.create_model("ddpm_cifar10", **TINY)
    images = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))
    noise, _ = jax.jit(model.init_with_output)(jax.random.key(0), images, jnp.array([0, 999]))
    np.testing.assert_array_equal(noise, jnp.zeros((2, 8, 12, 3)))


def test_halving_pads_below_and_to_the_right_only():
    model = jdl.create_model("ddpm_cifar10", **TINY)
    images = jax.random.normal(jax.random.key(1), (1, 8, 8, 3))
    variables = shaken(jax.jit(model.init)(jax.random.key(0), images, jnp.array([7])))
    _, state = model.apply(variables, images, jnp.array([7]), capture_intermediates=True)
    seen, name = state["intermediates"], "down_blocks.0.downsamplers.0.conv"
    x = np.pad(np.asarray(seen["down.0"][0][0]), ((0, 1), (0, 1), (0, 0)))
    kernel, bias = (np.asarray(variables["params"][name][leaf]) for leaf in ("kernel", "bias"))
    expected = [
        [np.einsum("uvc,uvco->o", x[i : i + 3, j : j + 3], kernel) + bias for j in range(0, 8, 2)]
        for i in range(0, 8, 2)
    ]
    np.testing.assert_allclose(seen[name]["__call__"][0][0], expected, rtol=1e-4, atol=1e-5)


def test_time_and_class_matter_and_no_class_is_the_last():
    model = jdl.create_model("ddpm_cifar10", num_classes=3, **TINY)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    times, labels = jnp.array([5, 5]), jnp.array([0, 1])
    variables = shaken(jax.jit(model.init)(jax.random.key(0), images, times, labels))
    apply = jax.jit(lambda *inputs: model.apply(variables, *inputs))
    assert not jnp.allclose(apply(images, times, labels), apply(images, times + 300, labels))
    assert not jnp.allclose(apply(images, times, labels), apply(images, times, labels + 1))
    np.testing.assert_allclose(
        apply(images, times), apply(images, times, jnp.array([3, 3])), atol=1e-6
    )


def test_embedding_of_time():
    embedding = np.asarray(embed_timesteps(jnp.array([0, 3, 500]), 8))
    for row, t in zip(embedding, (0, 3, 500), strict=True):
        phases = [t * 10_000 ** (-i / 3) for i in range(4)]
        np.testing.assert_allclose(row, [*np.sin(phases), *np.cos(phases)], atol=1e-4)


def test_attention_block_is_the_equation():
    block = AttentionBlock(num_groups=2)
    x = jax.random.normal(jax.random.key(1), (1, 2, 3, 4))
    p = shaken(jax.jit(block.init)(jax.random.key(0), x))["params"]
    p = jax.tree.map(np.asarray, p)
    h = np.asarray(x, np.float64).reshape(6, 2, 2)
    h = (h - h.mean((0, 2), keepdims=True)) / np.sqrt(h.var((0, 2), keepdims=True) + 1e-6)
    h = h.reshape(6, 4) * p["group_norm"]["scale"] + p["group_norm"]["bias"]
    query, key, value = (h @ p[f"to_{r}"]["kernel"] + p[f"to_{r}"]["bias"] for r in "qkv")
    weights = np.exp(query @ key.T / 2)
    h = (weights / weights.sum(1, keepdims=True)) @ value
    h = h @ p["to_out.0"]["kernel"] + p["to_out.0"]["bias"]
    result = jax.jit(block.apply)({"params": p}, x)
    np.testing.assert_allclose(result, x + np.reshape(h, x.shape), rtol=1e-4, atol=1e-5)


def test_bad_inputs_are_refused():
    model = jdl.create_model("ddpm_cifar10")
    with pytest.raises(UserError, match="multiples of 8, not 28x30; the nearest are 32x32"):
        model.init(jax.random.key(0), jnp.zeros((1, 28, 30, 3)), jnp.zeros(1))
    with pytest.raises(UserError, match="set num_classes or text_encoder"):
        model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1), jnp.zeros(1, int))


def test_the_sentence_matters_and_its_padding_does_not():
    encoder = TextEncoder(vocabulary_size=9, width=16, num_layers=1, num_heads=2)
    model = jdl.create_model("ddpm_cifar10", text_encoder=encoder, **TINY)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    times, tokens = jnp.array([5, 5]), jnp.array([[3, 1, 4], [2, 8, 0]])
    variables = shaken(jax.jit(model.init)(jax.random.key(0), images, times, tokens))
    apply = jax.jit(lambda *inputs: model.apply(variables, *inputs))
    said = apply(images, times, tokens)
    longer = jnp.pad(tokens, ((0, 0), (0, 4)))
    np.testing.assert_allclose(apply(images, times, longer), said, atol=1e-5)
    swapped = tokens[:, jnp.array([1, 0, 2])]  # the order of words says something
    assert abs(apply(images, times, swapped) - said).max() > 1e-3
    nothing = apply(images, times, jnp.zeros_like(tokens))
    np.testing.assert_allclose(apply(images, times), nothing, atol=1e-5)
    assert abs(nothing - said).max() > 1e-3
