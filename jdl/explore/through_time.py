"""What recurrent networks remember: gradients through time, and gates at work."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.layers.recurrent import LSTM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sequences = Float[Array, "batch time features"]


def gradient_norms(
    outputs_of: Callable[[Sequences], Float[Array, "batch time hidden"]],
    inputs: Sequences,
    key: Key[Array, ""],
) -> Float[np.ndarray, " time"]:
    """Measures how much each step's input still moves the last step's output.

        gₜ = E_v ‖∂ (v · h_T) / ∂xₜ‖                                                (1)

    over the batch, with v drawn from the unit sphere for each sequence. A vanilla network
    multiplies by the same matrix at every step, so that g falls or grows exponentially as t goes
    back.

    Args:
        outputs_of: inputs → h, such as a recurrent layer with its weights.
        inputs: x.
        key: for v.

    Returns:
        g of each step.

    Example:
        >>> decay = lambda x: x @ jnp.eye(2) * 0.5 + x[:, :1] * 0.125
        >>> gradient_norms(decay, jnp.ones((1, 2, 2)), jax.random.key(0)).tolist()
        [0.125, 0.5]

    Source: Bengio et al., 1994, https://doi.org/10.1109/72.279181; Pascanu et al., 2013,
    https://arxiv.org/abs/1211.5063, section 2.
    """

    @jax.jit
    def norms(inputs):
        last = jax.eval_shape(outputs_of, inputs)
        v = jax.random.normal(key, (last.shape[0], last.shape[2]))
        v /= jnp.linalg.norm(v, axis=-1, keepdims=True)
        gradient = jax.grad(lambda x: (outputs_of(x)[:, -1] * v).sum())(inputs)
        return jnp.linalg.norm(gradient, axis=-1).mean(0)

    return np.asarray(norms(inputs))


def lstm_gates(
    params: Mapping[str, Any], inputs: Sequences
) -> dict[str, Float[np.ndarray, "batch time hidden"]]:
    """Returns the gates of a one-layer LSTM at every step, and what they make of the cell.

    Args:
        params: of `jdl.layers.recurrent.LSTM`.
        inputs: sequences.

    Returns:
        "input", "forget", "candidate" and "output" (i, f, g, o), "cell" and "hidden".

    Example:
        >>> layer = LSTM(4)
        >>> params = layer.init(jax.random.key(0), jnp.ones((1, 3, 2)))["params"]
        >>> gates = lstm_gates(params, jnp.ones((1, 3, 2)))
        >>> gates["forget"].shape, bool((gates["forget"] > 0.5).all())
        ((1, 3, 4), True)
    """
    size = params["weight_hh_l0"].shape[1]
    hidden, _ = LSTM(size).apply({"params": params}, inputs)
    before = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]
    sums = inputs @ params["weight_ih_l0"].T + before @ params["weight_hh_l0"].T
    i, f, g, o = jnp.split(sums + bias[None, None], 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)

    def step(cell, gates):
        i, f, g = gates
        cell = f * cell + i * g
        return cell, cell

    by_time = [gate.swapaxes(0, 1) for gate in (i, f, g)]
    cell = jax.lax.scan(step, jnp.zeros_like(i[:, 0]), tuple(by_time))[1].swapaxes(0, 1)
    found = {"input": i, "forget": f, "candidate": g, "output": o, "cell": cell, "hidden": hidden}
    return {name: np.asarray(value) for name, value in found.items()}


def gradient_figure(curves: Mapping[str, Float[np.ndarray, " time"]]) -> "Figure":
    """Draws gradients against how many steps they have gone back.

    Args:
        curves: name → what `gradient_norms` returned.

    Returns:
        The figure, its vertical axis logarithmic.

    Example:
        >>> figure = gradient_figure({"RNN": np.array([0.25, 0.5, 1.0])})
        >>> figure.axes[0].get_xlabel()
        'steps back from the last'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.semilogy(np.arange(len(curve))[::-1], curve, label=name)
    axes.set(xlabel="steps back from the last", ylabel="gradient of the last output by an input")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
