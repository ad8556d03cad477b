import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from rich.console import Console

import jdl
from jdl.errors import UserError

LARGE = {"gpt2_medium", "gpt2_large", "gpt2_xl", "gpt3_175b"}


@pytest.mark.parametrize("name", [name for name in jdl.list_models() if name not in LARGE])
def test_rows_add_up_to_the_totals_of_every_model(name):
    table = jdl.summary(name)
    assert table.total_parameters == jdl.model_info(name).params
    assert sum(row.parameters for row in table.rows) == table.total_parameters
    assert sum(row.macs for row in table.rows) == table.total_macs > 0
    assert len({row.name for row in table.rows}) == len(table.rows)


def test_lenet5_by_hand():
    table = jdl.summary("lenet5", (32, 32, 1))
    assert {row.name: row.macs for row in table.rows} == {
        "conv1": 28 * 28 * 5 * 5 * 1 * 6,
        "conv2": 10 * 10 * 5 * 5 * 6 * 16,
        "fc1": 400 * 120,
        "fc2": 120 * 84,
        "fc3": 84 * 10,
    }
    assert {row.name: row.output_shape for row in table.rows} == {
        "conv1": (28, 28, 6),
        "conv2": (10, 10, 16),
        "fc1": (120,),
        "fc2": (84,),
        "fc3": (10,),
    }
    assert [row.receptive_field.size[0] for row in table.rows] == [5, 14, 32, 32, 32]
    assert table.memory_bytes == 4 * 61_706


def test_the_lectures_exercise_on_64_pixels():
    rows = {row.name: row for row in jdl.summary("lenet5", (64, 64, 1)).rows}
    assert rows["fc1"].parameters == 13 * 13 * 16 * 120 + 120
    assert rows["conv2"].output_shape == (26, 26, 16)


def test_gpt3_is_counted_in_seconds():
    start = time.perf_counter()
    table = jdl.summary("gpt3_175b")
    text = str(table)
    assert time.perf_counter() - start < 60
    assert text.splitlines()[-1].startswith("174,604,259,328 parameters")
    assert sum(row.parameters for row in table.rows) == table.total_parameters
    assert table.memory_bytes == 4 * 174_604_259_328


def test_attention_is_counted_beside_its_dense_layers():
    rows = {row.name: row for row in jdl.summary("gpt2", (16,)).rows}
    assert rows["h.0.attn"].macs == 2 * 12 * 16 * 16 * 64
    assert rows["h.0.attn"].parameters == 0
    assert rows["wte"].macs == 16 * 768 * 50_257  # the tied head


def test_running_statistics_take_memory_but_are_not_trained():
    table = jdl.summary("dcgan_discriminator")
    assert table.memory_bytes == 4 * (table.total_parameters + 2 * (128 + 256 + 512))


class Twice(nn.Module):
    """A layer that is used twice, and a parameter of the model's own."""

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(4, use_bias=False, name="layer")
        return layer(layer(x)) @ self.param("own", nn.initializers.ones, (4, 2))


def test_shared_layers_count_once_in_parameters_and_twice_in_macs():
    table = jdl.summary(Twice(), (4,))
    assert [(row.name, row.parameters, row.macs) for row in table.rows] == [
        ("Twice", 8, 8),
        ("layer", 16, 32),
    ]


def test_modules_of_the_registry_need_no_shapes():
    table = jdl.summary(jdl.create_model("char_lstm", hidden_size=8, embedding_size=4))
    assert table.rows[1].macs == 64 * (4 * 8 * 4 + 4 * 8 * 8)


def test_prints_on_a_rich_console():
    console = Console(width=120)
    with console.capture() as capture:
        console.print(jdl.summary("lenet5"))
    text = capture.get()
    assert "conv2" in text
    assert "61,706 parameters" in text


def test_bad_requests_are_refused():
    with pytest.raises(UserError, match="Twice is no registered model: give the shape"):
        jdl.summary(Twice())
    with pytest.raises(UserError, match="inputs such as 28x28x1, not 28x28"):
        jdl.summary("lenet5", (28, 28))
    with pytest.raises(UserError, match="takes 1 input, not 2"):
        jdl.summary("lenet5", (28, 28, 1), (3,))
    with pytest.raises(UserError, match="unknown model 'lenet'"):
        jdl.summary("lenet")
    with pytest.raises(UserError, match="LeNet-5 takes images"):
        jdl.summary("lenet5", (30, 30, 1))


def test_half_precision_computes_the_same_table():
    half = jdl.summary(jdl.create_model("lenet5", dtype=jnp.bfloat16))
    assert half == jdl.summary("lenet5")


@pytest.mark.slow
def test_memory_of_training_gpt2_xl_is_predicted_without_allocating():
    memory = jdl.summary("gpt2_xl", training=True).training
    assert memory.parameters == memory.gradients == 4 * 1_557_611_200
    assert memory.moments == 2 * memory.parameters
    # Of 48 layers of 25 heads, the softmax alone keeps 25 · 1024² numbers each.
    assert memory.activations > 48 * 25 * 1024**2 * 4
    assert 48 * 1024 * 1600 * 4 < memory.rematerialized < memory.activations / 10


@pytest.mark.slow
def test_memory_of_training_is_about_what_xla_takes():
    """With and without rematerialisation, for a step of AdamW."""
    sizes = {"num_layers": 4, "vocabulary_size": 500, "width": 64, "num_heads": 4}
    text = jax.ShapeDtypeStruct((1, 256), jnp.int32)
    for remat in (False, True):
        model = jdl.create_model("gpt2", **sizes, max_length=256, scan=True, remat=remat)
        memory = jdl.summary(model, training=True).training
        optimizer = optax.adamw(1e-3)

        def step(params, state, text, key, model=model, optimizer=optimizer):
            def loss(params):
                rngs = {"dropout": key}
                logits = model.apply({"params": params}, text, train=True, rngs=rngs)
                return jax.nn.log_softmax(logits)[..., 0].mean()

            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        key = jax.eval_shape(lambda: jax.random.key(0))
        params = jax.eval_shape(model.init, key, text)["params"]
        arguments = (params, jax.eval_shape(optimizer.init, params), text, key)
        compiled = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).compile()
        taken = compiled.memory_analysis()
        kept = memory.rematerialized if remat else memory.activations
        found = taken.temp_size_in_bytes + taken.argument_size_in_bytes
        predicted = memory.parameters + memory.gradients + memory.moments + kept
        assert predicted == pytest.approx(found, rel=0.3), remat


def test_memory_of_training_a_dense_layer_by_hand():
    memory = jdl.summary(nn.Dense(2), (3,), training=True).training
    assert memory.parameters == 4 * 8
    assert memory.activations == 0  # the gradient by the kernel needs the input, which is given
    assert memory.rematerialized is None
    text = str(jdl.summary(nn.Dense(2), (3,), training=True))
    assert text.endswith("64 B of moments, 0 B of activations per example")
