from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jdl.ops.recurrent import elman, gru, lstm, peephole_lstm

TIME, BATCH, HIDDEN = 7, 3, 5
GATES = {"elman": 1, "relu": 1, "after": 3, "before": 3, "lstm": 4, "peephole": 4}


def example(kind):
    random = np.random.RandomState(0)

    def draw(*shape):
        return jnp.asarray(random.randn(*shape), jnp.float32)

    gates = GATES[kind] * HIDDEN
    return {
        "inputs": draw(TIME, BATCH, gates),
        "weight": draw(gates, HIDDEN) * 0.5,
        "hidden": draw(BATCH, HIDDEN),
        "cell": draw(BATCH, HIDDEN),
        "bias": draw(HIDDEN),
        "peepholes": draw(3, HIDDEN),
    }


def ours(kind, a, mask, reverse):
    if kind in ("elman", "relu"):
        activation = jnp.tanh if kind == "elman" else jax.nn.relu
        return (
            elman(
                a["inputs"], a["weight"], a["hidden"], mask, activation=activation, reverse=reverse
            ),
        )
    if kind in ("after", "before"):
        after = kind == "after"
        return (
            gru(
                a["inputs"],
                a["weight"],
                a["bias"],
                a["hidden"],
                mask,
                reset_after=after,
                reverse=reverse,
            ),
        )
    if kind == "lstm":
        return lstm(a["inputs"], a["weight"], a["hidden"], a["cell"], mask, reverse=reverse)
    return peephole_lstm(
        a["inputs"], a["weight"], a["peepholes"], a["hidden"], a["cell"], mask, reverse=reverse
    )


def equations(kind, a, mask, reverse):
    """The same, step by step, for autodiff to differentiate."""
    sigmoid = jax.nn.sigmoid

    def step(state, steps):
        (h, c), (x, present) = state, steps
        new_c = c
        if kind in ("elman", "relu"):
            new = (jnp.tanh if kind == "elman" else jax.nn.relu)(x + h @ a["weight"].T)
        elif kind in ("after", "before"):
            w_r, w_z, w_n = jnp.split(a["weight"], 3)
            x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
            r, z = sigmoid(x_r + h @ w_r.T), sigmoid(x_z + h @ w_z.T)
            bias = a["bias"][None]
            inner = r * (h @ w_n.T + bias) if kind == "after" else (r * h) @ w_n.T + bias
            new = (1 - z) * jnp.tanh(x_n + inner) + z * h
        else:
            i, f, g, o = jnp.split(x + h @ a["weight"].T, 4, axis=-1)
            p = a["peepholes"] if kind == "peephole" else jnp.zeros((3, HIDDEN))
            new_c = sigmoid(f + p[1][None] * c) * c + sigmoid(i + p[0][None] * c) * jnp.tanh(g)
            new = sigmoid(o + p[2][None] * new_c) * jnp.tanh(new_c)
        there = present[:, None]
        state = there * new + (1 - there) * h, there * new_c + (1 - there) * c
        return state, state[0]

    mask = jnp.ones((TIME, BATCH)) if mask is None else mask
    steps = (a["inputs"], mask)
    (_, c), outputs = lax.scan(step, (a["hidden"], a["cell"]), steps, reverse=reverse)
    return (outputs, c) if kind in ("lstm", "peephole") else (outputs,)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_equals_the_equations_and_their_gradient(kind, reverse, masked):
    mask = None
    if masked:
        mask = (jnp.arange(TIME)[:, None] < jnp.array([[4, 7, 0]])).astype(jnp.float32)

    def loss(function, a):
        results = function(kind, a, mask, reverse)
        weights = jnp.cos(jnp.arange(results[0].size, dtype=jnp.float32))
        total = (results[0].reshape(-1) * weights).sum()
        return total + sum((r**2).sum() for r in results[1:]), results

    def both(function):
        return jax.jit(jax.value_and_grad(partial(loss, function), has_aux=True))(example(kind))

    (_, found), gradients = both(ours)
    (_, expected), theirs = both(equations)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for name in gradients:
        np.testing.assert_allclose(
            gradients[name], theirs[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_half_precision_keeps_its_types():
    a = example("lstm")
    half = (a[name].astype(jnp.bfloat16) for name in ("inputs", "weight", "hidden"))
    outputs, last = jax.jit(lstm)(*half, a["cell"])
    assert (outputs.dtype, last.dtype) == (jnp.bfloat16, jnp.float32)
