"""What `gpt_char` builds: nanoGPT's networks, and the optimisers they step by."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jdl.launch import load_experiment, parse_flags

GPT = load_experiment("gpt_char")


def test_the_recipe_of_the_large_gpt_is_the_command_in_its_docstring():
    command = next(line for line in GPT.__doc__.splitlines() if "--num-layers" in line)
    assert parse_flags(GPT, command.split()[3:])[0] == GPT.LARGE


def test_the_small_gpt_steps_by_muon_and_its_embeddings_by_adam(fewer_texts):
    fewer_texts(GPT)
    sizes = {"byte_pairs": 260, "width": 8, "window": 8}
    rates = {"learning_rate": 0.03, "adam_learning_rate": 2e-3}
    config = GPT.Config(dataset="bible_en", steps=20, **sizes, **rates)
    optimizer = GPT.build(config).task.optimizer
    gradient = jax.random.normal(jax.random.key(0), (6, 6))
    params = {"kernel": jnp.zeros((6, 6)), "embedding": jnp.zeros((6, 6))}
    gradients = jax.tree.map(lambda _: gradient, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    # After one of three steps in which the rates rise.
    singular = jnp.linalg.svd(updates["kernel"], compute_uv=False) / (0.03 / 3)
    assert ((singular > 0.6) & (singular < 1.3)).all()
    steps = updates["embedding"] / -jnp.sign(gradient) / (2e-3 / 3)
    np.testing.assert_allclose(steps, 1 + 0.9 / 1.9, rtol=1e-3)  # with Nesterov's momentum
    decayed, _ = optimizer.update(
        gradients, optimizer.init(params), jax.tree.map(jnp.ones_like, params)
    )
    np.testing.assert_allclose(updates["kernel"] - decayed["kernel"], 0.02 * 0.03 / 3, rtol=1e-2)
    np.testing.assert_array_equal(updates["embedding"], decayed["embedding"])


def test_the_small_gpt_may_step_by_adamw(fewer_texts):
    fewer_texts(GPT)
    config = GPT.Config(
        dataset="bible_en", byte_pairs=260, steps=20, optimizer="adamw", learning_rate=4e-3
    )
    schedule = optax.warmup_cosine_decay_schedule(4e-3 / 3, 4e-3, 2, 20, 4e-4)
    mask = {"dense": {"kernel": True, "bias": False}}
    adamw = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.99, weight_decay=0.1, mask=mask),
    )
    start = {"dense": {"kernel": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "bias": jnp.ones(3)}}
    ends = []
    for optimizer in (adamw, GPT.build(config).task.optimizer):
        params, state = start, optimizer.init(start)
        for size in (9.0, 0.1, 5.0):  # The second is not clipped.
            gradients = jax.tree.map(lambda x, size=size: size * jnp.cos(size * x), params)
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        ends.append(params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), *ends)


def test_the_large_gpt_is_nanogpts(fewer_texts):
    fewer_texts(GPT)
    config = dataclasses.replace(GPT.LARGE, dataset="bible_en", steps=1)
    task = GPT.build(config).task
    assert (task.microbatches, task.model.dropout) == (4, 0.2)
    model = task.model.clone(vocabulary_size=65)
    text = jnp.zeros((1, 2), int)
    params = jax.eval_shape(model.init, jax.random.key(0), text)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == 10_770_816  # 10.7 million without the positions, as nanoGPT counts
