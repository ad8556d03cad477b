"""Recurrences over time, with a backward pass that does its large product once.

The gradient by a recurrent matrix W is Σ_t δ_t h_{t−1}ᵀ, δ_t being that by W h_{t−1}. Autodiff of a
scan adds up its terms step by step; here the δ_t are kept, and their sum is one product after the
scan. All sequences are time first. A mask says which steps are there: where it is 0 the state stays
what it was, whichever way time runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from jdl.ops.activations import tanh
from jdl.ops.dense import transposed_product

Hidden = Float[Array, "batch hidden"]
Outputs = Float[Array, "time batch hidden"]
Gates = Float[Array, "time batch gates"]
Weight = Float[Array, "gates hidden"]
Mask = Float[Array, "time batch"]


def elman(
    inputs: Gates,
    weight: Weight,
    hidden: Hidden,
    mask: Mask | None = None,
    *,
    activation: Callable[[Array], Array] = tanh,
    reverse: bool = False,
) -> Outputs:
    """Runs a vanilla recurrent network over a sequence.

        h_t = φ(x_t + W h_{t−1})                                                    (1)

    Args:
        inputs: x, what the input and the biases add; gates = hidden.
        weight: W.
        hidden: h_0.
        mask: 1 where a step is there, 0 where it is padding.
        activation: φ.
        reverse: from the last step to the first.

    Returns:
        All h_t.

    Example:
        >>> x, h = jnp.zeros((2, 1, 3)), jnp.full((1, 3), 0.5)
        >>> elman(x, 2 * jnp.eye(3), h, activation=lambda a: a)[:, 0, 0].tolist()
        [1.0, 2.0]

    Source: Elman, 1990, https://doi.org/10.1207/s15516709cog1402_1.
    """

    def cell(state, x, recurrent, peepholes):
        return (activation(x + recurrent),)  # (1)

    return _recur(cell, reverse, inputs, weight, (hidden,), mask, ())[0]


def gru(
    inputs: Gates,
    weight: Weight,
    bias: Float[Array, " hidden"],
    hidden: Hidden,
    mask: Mask | None = None,
    *,
    reset_after: bool = True,
    reverse: bool = False,
) -> Outputs:
    """Runs a gated recurrent unit over a sequence.

        r, z = sigmoid(x_r + W_r h_{t−1}), sigmoid(x_z + W_z h_{t−1})               (1)
        n = tanh(x_n + r ⊙ (W_n h_{t−1} + b))            reset after, as torch       (2)
        n = tanh(x_n + W_n (r ⊙ h_{t−1}) + b)            reset before, as the paper  (3)
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}                                             (4)

    Args:
        inputs: x, what the input and its biases add; gates = 3 · hidden, in torch's order r, z, n.
        weight: W_r, W_z and W_n, one above the other.
        bias: b.
        hidden: h_0.
        mask: 1 where a step is there, 0 where it is padding.
        reset_after: (2) rather than (3).
        reverse: from the last step to the first.

    Returns:
        All h_t.

    Example:
        >>> x, h = jnp.zeros((2, 1, 6)), jnp.ones((1, 2))
        >>> gru(x, jnp.zeros((6, 2)), jnp.zeros(2), h)[:, 0, 0].tolist()
        [0.5, 0.25]

    Source: Cho et al., 2014, https://arxiv.org/abs/1406.1078, whose z is 1 − z here.
    """
    if reset_after:
        # The bias is part of the recurrent side's sum.
        recurrent_bias = jnp.concatenate([jnp.zeros(2 * len(bias), bias.dtype), bias])

        def cell(state, x, recurrent, extra):
            (h,), (recurrent_bias,) = state, extra
            x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
            a_r, a_z, a_n = jnp.split(recurrent + recurrent_bias[None], 3, axis=-1)
            r, z = _sigmoid(x_r + a_r), _sigmoid(x_z + a_z)  # (1)
            n = tanh(x_n + r * a_n)  # (2)
            return ((1 - z) * n + z * h,)  # (4)

        return _recur(cell, reverse, inputs, weight, (hidden,), mask, (recurrent_bias,))[0]

    gates, candidate = weight[: 2 * len(bias)], weight[2 * len(bias) :]

    def step(h, steps):
        x, present = steps
        x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
        a_r, a_z = jnp.split(h @ gates.T, 2, axis=-1)
        r, z = _sigmoid(x_r + a_r), _sigmoid(x_z + a_z)  # (1)
        n = tanh(x_n + (r * h) @ candidate.T + bias[None])  # (3)
        h = _hold(present, (1 - z) * n + z * h, h)  # (4)
        return h, h

    return lax.scan(step, hidden, (inputs, mask), reverse=reverse)[1]


def peephole_lstm(
    inputs: Gates,
    weight: Weight,
    peepholes: Float[Array, "3 hidden"],
    hidden: Hidden,
    cell: Hidden,
    mask: Mask | None = None,
    *,
    reverse: bool = False,
) -> tuple[Outputs, Hidden]:
    """Runs a long short-term memory whose gates see the cell.

        [a_i, a_f, a_g, a_o] = x_t + W h_{t−1}                                      (1)
        i, f = sigmoid(a_i + p_i ⊙ c_{t−1}), sigmoid(a_f + p_f ⊙ c_{t−1})           (2)
        c_t = f ⊙ c_{t−1} + i ⊙ tanh(a_g)                                           (3)
        h_t = sigmoid(a_o + p_o ⊙ c_t) ⊙ tanh(c_t)                                  (4)

    Args:
        inputs: x, as in `lstm`.
        weight: W.
        peepholes: p_i, p_f, p_o.
        hidden: h_0.
        cell: c_0.
        mask: 1 where a step is there, 0 where it is padding.
        reverse: from the last step to the first.

    Returns:
        All h_t, and the last c_t.

    Example:
        >>> x, h = jnp.zeros((5, 2, 12)), jnp.ones((2, 3))
        >>> outputs, cell = peephole_lstm(x, jnp.zeros((12, 3)), jnp.zeros((3, 3)), h, h)
        >>> outputs.shape, cell[0].tolist()
        ((5, 2, 3), [0.03125, 0.03125, 0.03125])

    Source: Gers et al., 2002, https://www.jmlr.org/papers/v3/gers02a.html.
    """

    def step(state, x, recurrent, extra):
        (_, c), (peepholes,) = state, extra
        a_i, a_f, a_g, a_o = jnp.split(x + recurrent, 4, axis=-1)  # (1)
        p_i, p_f, p_o = (row[None] for row in peepholes)
        i, f = _sigmoid(a_i + p_i * c), _sigmoid(a_f + p_f * c)  # (2)
        c = f * c + i * tanh(a_g)  # (3)
        return _sigmoid(a_o + p_o * c) * tanh(c), c  # (4)

    outputs, cells = _recur(step, reverse, inputs, weight, (hidden, cell), mask, (peepholes,))
    return outputs, cells[0 if reverse else -1]


def _sigmoid(x: Array) -> Array:
    # On a CPU, tanh takes half of the logistic function's time.
    return 0.5 * tanh(0.5 * x) + 0.5


def _hold(present: Array | None, new: Array, old: Array) -> Array:
    return new if present is None else jnp.where(present[:, None] > 0, new, old)


# (state, x_t, W h_{t−1}, what else there is to learn) → the next state, whose first part is h_t.
Cell = Callable[[PyTree, Array, Array, PyTree], PyTree]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(cell: Cell, reverse: bool, inputs, weight, state, mask, extra) -> PyTree:
    """Runs a cell over a sequence; returns its states after every step."""
    return _recur_forward(cell, reverse, inputs, weight, state, mask, extra)[0]


def _recur_forward(cell, reverse, inputs, weight, state, mask, extra):
    def step(state, steps):
        x, present = steps
        new = cell(state, x, state[0] @ weight.T, extra)
        new = jax.tree.map(partial(_hold, present), new, state)
        return new, new

    _, states = lax.scan(step, state, (inputs, mask), reverse=reverse)
    return states, (inputs, weight, state, mask, extra, states)


def _recur_backward(cell, reverse, residuals, by_states):
    inputs, weight, state, mask, extra, states = residuals
    previous = jax.tree.map(partial(_before, reverse), state, states)
    recurrent = previous[0] @ weight.T

    def step(carry, steps):
        by_state, by_extra = carry
        by_output, x, recurrent, old, present = steps
        by_state = jax.tree.map(jnp.add, by_state, by_output)
        _, pull = jax.vjp(cell, old, x, recurrent, extra)
        # What padding hands on unchanged, and what goes through the cell.
        by_new = jax.tree.map(lambda g: _hold(present, g, jnp.zeros_like(g)), by_state)
        by_held = jax.tree.map(lambda g, n: g - n, by_state, by_new)
        by_old, by_x, by_recurrent, by_more = pull(by_new)
        by_old = (by_old[0] + by_recurrent @ weight, *by_old[1:])
        by_state = jax.tree.map(jnp.add, by_old, by_held)
        return (by_state, jax.tree.map(jnp.add, by_extra, by_more)), (by_x, by_recurrent)

    nothing = jax.tree.map(jnp.zeros_like, (state, extra))
    steps = (by_states, inputs, recurrent, previous, mask)
    (by_state, by_extra), (by_inputs, by_recurrent) = lax.scan(
        step, nothing, steps, reverse=not reverse
    )
    by_weight = _by_weight(by_recurrent, previous[0])
    return by_inputs, by_weight, by_state, _no_gradient(mask), by_extra


_recur.defvjp(_recur_forward, _recur_backward)


def _before(reverse: bool, start: Array, states: Array) -> Array:
    """Returns what each step saw: the states one step earlier."""
    if reverse:
        return jnp.concatenate([states[1:], start[None]])
    return jnp.concatenate([start[None], states[:-1]])


def _by_weight(by_gates: Array, hiddens: Array) -> Array:
    """Returns Σ_t ∂a_t h_{t−1}ᵀ, the gradient by W, in one product."""
    flat = (a.reshape(-1, a.shape[-1]) for a in (hiddens, by_gates))
    return transposed_product(*flat).T


def _no_gradient(mask: Array | None) -> Any:
    return jax.tree.map(jnp.zeros_like, mask)


def lstm(
    inputs: Gates,
    weight: Weight,
    hidden: Hidden,
    cell: Hidden,
    mask: Mask | None = None,
    *,
    reverse: bool = False,
) -> tuple[Outputs, Hidden]:
    """Runs a long short-term memory over a sequence.

        [a_i, a_f, a_g, a_o] = x_t + W h_{t−1}                                      (1)
        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o);  g = tanh(a_g)          (2)
        c_t = f ⊙ c_{t−1} + i ⊙ g                                                   (3)
        h_t = o ⊙ tanh(c_t)                                                         (4)

    Args:
        inputs: x, what the input and the biases add to the gates; gates = 4 · hidden, in torch's
            order i, f, g, o.
        weight: W.
        hidden: h_0.
        cell: c_0, float32.
        mask: 1 where a step is there, 0 where it is padding.
        reverse: from the last step to the first.

    Returns:
        All h_t, and the last c_t.

    Example:
        >>> x, h = jnp.zeros((5, 2, 12)), jnp.ones((2, 3))
        >>> outputs, cell = lstm(x, jnp.zeros((12, 3)), h, h)
        >>> outputs.shape, cell[0].tolist()
        ((5, 2, 3), [0.03125, 0.03125, 0.03125])

    Source: Hochreiter and Schmidhuber, 1997; with the forget gate of Gers et al., 2000.
    """
    return _lstm(reverse, inputs, weight, hidden, cell, mask)


# Written out rather than a cell of `_recur`: its backward pass keeps the gates, and so does no
# product of the forward pass again.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _lstm(reverse: bool, inputs, weight, hidden, cell, mask) -> tuple[Array, Array]:
    return _lstm_forward(reverse, inputs, weight, hidden, cell, mask)[0]


def _lstm_forward(reverse, inputs, weight, hidden, cell, mask):
    # Each gate's inputs in an array of their own, whose steps lie together: on a CPU, faster.
    by_gate = tuple(jnp.split(inputs, 4, axis=-1))

    def step(carry, steps):
        x, present = steps
        hidden, cell = carry
        products = jnp.split(hidden @ weight.T, 4, axis=-1)
        a_i, a_f, a_g, a_o = ((a + b).astype(jnp.float32) for a, b in zip(x, products))  # (1)
        i, f, o, g = _sigmoid(a_i), _sigmoid(a_f), _sigmoid(a_o), tanh(a_g)  # (2)
        new = f * cell + i * g  # (3)
        hidden = _hold(present, (o * tanh(new)).astype(hidden.dtype), hidden)  # (4)
        cell = _hold(present, new, cell)
        return (hidden, cell), (hidden, cell, (i, f, g, o))

    (_, last), (outputs, cells, gates) = lax.scan(
        step, (hidden, cell), (by_gate, mask), reverse=reverse
    )
    return (outputs, last), (weight, hidden, cell, mask, outputs, cells, gates)


def _lstm_backward(reverse, residuals, gradients):
    weight, hidden, cell, mask, outputs, cells, gates = residuals
    by_outputs, by_last_cell = gradients
    hiddens = _before(reverse, hidden, outputs)
    previous_cells = _before(reverse, cell, cells)

    def step(carry, t):
        by_hidden, by_cell = carry
        by_output, present, (i, f, g, o), old, new = t
        squashed = tanh(new)
        by_hidden = by_hidden + by_output
        by_new = by_cell + by_hidden * o * (1 - squashed**2)
        parts = [by_new * g * i * (1 - i), by_new * old * f * (1 - f), by_new * i * (1 - g**2)]
        by_gates = jnp.concatenate([*parts, by_hidden * squashed * o * (1 - o)], axis=-1)
        by_gates = _hold(present, by_gates, jnp.zeros_like(by_gates)).astype(weight.dtype)
        by_hidden = _hold(present, by_gates @ weight, by_hidden)
        return (by_hidden, _hold(present, by_new * f, by_cell)), by_gates

    start = (jnp.zeros_like(hidden), by_last_cell)
    steps = (by_outputs, mask, gates, previous_cells, cells)
    (by_hidden, by_cell), by_gates = lax.scan(step, start, steps, reverse=not reverse)
    by_weight = _by_weight(by_gates, hiddens)
    return by_gates, by_weight, by_hidden, by_cell, _no_gradient(mask)


_lstm.defvjp(_lstm_forward, _lstm_backward)
