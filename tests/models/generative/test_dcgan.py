from functools import partial

import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError


@pytest.mark.parametrize("size", [8, 16, 32])
def test_sizes_and_ranges(size):
    generator = jdl.create_model("dcgan_generator", image_size=size, channels=1, base_features=4)
    critic = jdl.create_model("dcgan_discriminator", image_size=size, base_features=4)
    latents = 100 * jax.random.normal(jax.random.key(1), (3, 10))
    images, _ = jax.jit(generator.init_with_output)(jax.random.key(0), latents)
    logits, _ = jax.jit(critic.init_with_output)(jax.random.key(0), images)
    assert images.shape == (3, size, size, 1)
    assert float(jnp.abs(images).max()) <= 1
    assert logits.shape == (3,)


def test_names_of_torchs_example():
    generator = jax.eval_shape(
        jdl.create_model("dcgan_generator").init, jax.random.key(0), jnp.zeros((1, 100))
    )["params"]
    critic = jax.eval_shape(
        jdl.create_model("dcgan_discriminator").init, jax.random.key(0), jnp.zeros((1, 64, 64, 3))
    )["params"]
    assert set(generator) == {f"main.{i}" for i in (0, 1, 3, 4, 6, 7, 9, 10, 12)}
    assert set(critic) == {f"main.{i}" for i in (0, 2, 3, 5, 6, 8, 9, 11)}
    assert {"scale", "bias"} == set(generator["main.1"]) == set(critic["main.9"])
    assert generator["main.12"]["kernel"].shape == (4, 4, 3, 64)
    assert critic["main.11"]["kernel"].shape == (4, 4, 512, 1)


def test_initialised_as_the_paper_says():
    model = jdl.create_model("dcgan_generator", image_size=8)
    parameters = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 100)))["params"]
    assert float(parameters["main.0"]["kernel"].std()) == pytest.approx(0.02, rel=0.02)
    assert float(parameters["main.1"]["scale"].mean()) == pytest.approx(1, abs=0.01)
    assert float(parameters["main.1"]["scale"].std()) == pytest.approx(0.02, rel=0.4)


def test_train_updates_the_running_statistics_and_nothing_else_does():
    model = jdl.create_model("dcgan_generator", image_size=8, base_features=2)
    latents = jax.random.normal(jax.random.key(1), (4, 5))
    variables = jax.jit(model.init)(jax.random.key(0), latents)
    apply = jax.jit(partial(model.apply, mutable=["batch_stats"]), static_argnames="train")
    _, updated = apply(variables, latents, train=True)
    _, kept = apply(variables, latents)
    same = jax.tree.map(jnp.array_equal, kept, {"batch_stats": variables["batch_stats"]})
    assert all(jax.tree.leaves(same))
    moved = jax.tree.map(jnp.array_equal, updated, {"batch_stats": variables["batch_stats"]})
    assert not any(jax.tree.leaves(moved))


def test_bad_sizes_are_refused():
    with pytest.raises(UserError, match=r"64, 128, \.\.\., not 48"):
        jdl.create_model("dcgan_generator", image_size=48).init(
            jax.random.key(0), jnp.zeros((1, 4))
        )
    with pytest.raises(UserError, match="64x64 pixels, not 32x32; set image_size"):
        jdl.create_model("dcgan_discriminator").init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_labels_say_what_is_drawn_and_judged():
    generator = jdl.create_model("dcgan_generator", image_size=8, base_features=4, num_classes=3)
    critic = jdl.create_model("dcgan_discriminator", image_size=8, base_features=4, num_classes=3)
    latents, labels = jnp.ones((3, 5)), jnp.arange(3)
    variables = jax.jit(generator.init)(jax.random.key(0), latents, labels)
    images = jax.jit(generator.apply)(variables, latents, labels)
    assert float(jnp.abs(images[0] - images[1]).max()) > 0  # of the same code
    same = jnp.repeat(images[:1], 3, axis=0)
    variables = jax.jit(critic.init)(jax.random.key(0), same, labels)
    logits = jax.jit(critic.apply)(variables, same, labels)
    assert len(set(logits.tolist())) == 3
    for model, inputs in ((generator, latents), (critic, same)):
        with pytest.raises(UserError, match="labels and num_classes go together"):
            model.init(jax.random.key(0), inputs)
