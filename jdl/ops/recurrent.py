"""Recurrences over time, with a backward pass that does its large product once."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Hidden = Float[Array, "batch hidden"]


@jax.custom_vjp
def lstm(
    inputs: Float[Array, "time batch gates"],
    weight: Float[Array, "gates hidden"],
    hidden: Hidden,
    cell: Hidden,
) -> tuple[Float[Array, "time batch hidden"], Hidden]:
    """Runs a long short-term memory over a sequence.

        [a_i, a_f, a_g, a_o] = x_t + W h_{t−1}                                      (1)
        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o);  g = tanh(a_g)          (2)
        c_t = f ⊙ c_{t−1} + i ⊙ g                                                   (3)
        h_t = o ⊙ tanh(c_t)                                                         (4)

    The gradient by W is Σ_t δ_t h_{t−1}ᵀ, δ_t being that by (1). Autodiff of a scan adds up its
    terms step by step; here the δ_t are kept, and their sum is one product after the scan.

    Args:
        inputs: x, what the input and the biases add to the gates, time first; gates = 4 · hidden,
            in torch's order i, f, g, o.
        weight: W.
        hidden: h_0.
        cell: c_0, float32.

    Returns:
        All h_t, and the last c_t.

    Example:
        >>> x, h = jnp.zeros((5, 2, 12)), jnp.ones((2, 3))
        >>> outputs, cell = lstm(x, jnp.zeros((12, 3)), h, h)
        >>> outputs.shape, cell[0].tolist()
        ((5, 2, 3), [0.03125, 0.03125, 0.03125])

    Source: Hochreiter and Schmidhuber, 1997; with the forget gate of Gers et al., 2000.
    """
    outputs, (_, cell), _, _ = _run(inputs, weight, hidden, cell)
    return outputs, cell


def _run(inputs, weight, hidden, cell):
    def step(carry, x):
        hidden, cell = carry
        gates = _activate(x + hidden @ weight.T)  # (1), (2)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = f * cell + i * g  # (3)
        hidden = (o * jnp.tanh(cell)).astype(hidden.dtype)  # (4)
        return (hidden, cell), (hidden, cell, gates)

    carry, (outputs, cells, gates) = lax.scan(step, (hidden, cell), inputs)
    return outputs, carry, cells, gates


def _activate(gates: Array) -> Array:
    i, f, g, o = jnp.split(gates.astype(jnp.float32), 4, axis=-1)
    sigmoid = jax.nn.sigmoid
    return jnp.concatenate([sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)], axis=-1)


def _forward(inputs, weight, hidden, cell):
    outputs, (_, last), cells, gates = _run(inputs, weight, hidden, cell)
    return (outputs, last), (weight, hidden, cell, outputs, cells, gates)


def _backward(residuals, gradients):
    weight, hidden, cell, outputs, cells, gates = residuals
    by_outputs, by_last_cell = gradients
    hiddens = jnp.concatenate([hidden[None], outputs[:-1]])  # what each step saw
    previous_cells = jnp.concatenate([cell[None], cells[:-1]])

    i, f, g, o = jnp.split(gates, 4, axis=-1)
    squashed = jnp.tanh(cells)
    # What does not depend on later steps, for all steps at once: ∂c/∂(a_i, a_f, a_g), ∂h/∂(c, a_o).
    cell_by_gates = g * i * (1 - i), previous_cells * f * (1 - f), i * (1 - g**2)
    hidden_by_cell = o * (1 - squashed**2)
    hidden_by_gate = squashed * o * (1 - o)

    def step(carry, t):
        by_hidden, by_cell = carry
        by_output, f, cell_by_gates, hidden_by_cell, hidden_by_gate = t
        by_hidden = by_hidden + by_output
        by_cell = by_cell + by_hidden * hidden_by_cell
        parts = [*(by_cell * local for local in cell_by_gates), by_hidden * hidden_by_gate]
        by_gates = jnp.concatenate(parts, axis=-1).astype(weight.dtype)
        return (by_gates @ weight, by_cell * f), by_gates

    start = (jnp.zeros_like(hidden), by_last_cell)
    steps = (by_outputs, f, cell_by_gates, hidden_by_cell, hidden_by_gate)
    (by_hidden, by_cell), by_gates = lax.scan(step, start, steps, reverse=True)
    by_weight = jnp.einsum("tbg,tbh->gh", by_gates, hiddens)
    return by_gates, by_weight, by_hidden, by_cell


lstm.defvjp(_forward, _backward)
