"""Stacks of recurrent layers whose parameters are torch's."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.errors import UserError
from jdl.layers.initializers import orthogonal
from jdl.ops import cudnn
from jdl.ops.activations import tanh
from jdl.ops.dense import dot_general
from jdl.ops.recurrent import elman, gru, lstm, peephole_lstm

# Weights are laid out as torch's: [gates · out, in], the gates one after another.
input_init = nn.initializers.variance_scaling(
    1.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
)

Sequences = Float[Array, "batch time features"]
Lengths = Int[Array, " sequences"]
State = Float[Array, "batch layers hidden"]
Carry = Any  # a State; of an LSTM two, the hidden states and the cells


def recurrent_init(key, shape, dtype=jnp.float32) -> Array:
    """Draws one orthogonal matrix for each gate.

    Example:
        >>> w = recurrent_init(jax.random.key(0), (12, 3))
        >>> bool(jnp.allclose(w[:3] @ w[:3].T, jnp.eye(3), atol=1e-5))
        True
    """
    rows, columns = shape
    keys = jax.random.split(key, rows // columns)
    return jax.vmap(lambda k: orthogonal(k, (columns, columns), dtype))(keys).reshape(shape)


def forget_one_init(key, shape, dtype=jnp.float32) -> Array:
    """Gives biases of zero, and of one to the forget gate, so that a new memory remembers.

    Source: Jozefowicz et al., 2015, http://proceedings.mlr.press/v37/jozefowicz15.html.

    Example:
        >>> forget_one_init(None, (8,)).tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    quarter = shape[0] // 4
    return jnp.zeros(shape, dtype).at[quarter : 2 * quarter].set(1)


def _check(lengths: Lengths | None, batch: int, time: int) -> None:
    if lengths is None:
        return
    if len(lengths) != batch:
        raise UserError(f"a batch of {batch} sequences needs as many lengths, not {len(lengths)}")
    if isinstance(lengths, jax.core.Tracer):
        return
    known = np.asarray(lengths)
    if (known < 0).any() or (known > time).any():
        raise UserError(f"lengths must lie in 0..{time}, the steps there are: {known.tolist()}")


class _Stack(nn.Module):
    """What RNN, LSTM and GRU share: layers, directions, lengths, dropout, residual connections.

    Each layer's input projection is one product over all steps; only the recurrent one runs step
    by step (`jdl.ops.recurrent`). Parameters are torch's, in torch's layout: `weight_ih_l0`,
    `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l0_reverse`, ..., `weight_ih_l1`, ...

    Attributes:
        hidden_size: numbers in the state of each layer and direction.
        num_layers: layers, each fed with the outputs of the one below.
        bidirectional: a second network in each layer reads from the end, and its outputs stand
            beside the first one's.
        dropout: rate between the layers.
        residual: from the second layer on, add a layer's inputs to its outputs.
        second_bias: as torch, give the recurrent side a bias of its own where the input side's is
            enough. It is not for the candidate of a GRU that resets after the product.
        dtype: of the products; cells, gates and parameters stay float32.
    """

    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    residual: bool = False
    second_bias: bool = True
    dtype: DTypeLike | None = None

    # Of each cell: gates, parts of its state, and how its biases begin.
    gates = 1
    states = 1
    bias_init = staticmethod(nn.initializers.zeros)

    @nn.compact
    def __call__(
        self,
        inputs: Sequences,
        carry: Carry | None = None,
        *,
        lengths: Lengths | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time outputs"], Carry]:
        """Reads sequences.

        Args:
            inputs: one vector per step.
            carry: states of all layers to start from, [batch, layers · directions, hidden], a
                layer's directions one after the other; an LSTM's is (hidden, cell). Zeros when not
                given.
            lengths: steps that are there; those after them neither change the state nor give
                anything but zeros. All are there when not given.
            train: apply dropout between the layers.

        Returns:
            The hidden states of the last layer at all steps, and the carry after the last step.

        Raises:
            UserError: there is not one length for each sequence, or one is not within the steps
                (which compiled code cannot check).
        """
        batch, time, _ = inputs.shape
        _check(lengths, batch, time)
        carry = self.initial_carry(batch) if carry is None else carry
        states = carry if self.states > 1 else (carry,)
        mask = None
        if lengths is not None:
            mask = (jnp.arange(time)[:, None] < lengths[None]).astype(jnp.float32)
        x = inputs.swapaxes(0, 1)
        lasts = []
        for layer in range(self.num_layers):
            if layer:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            first = layer * self.directions
            here = [
                tuple(state[:, place] for state in states)
                for place in range(first, first + self.directions)
            ]
            y, last = self._layer(layer, x, here, mask, lengths)
            lasts += last
            if mask is not None:
                y = y * mask[..., None].astype(y.dtype)
            x = x + y if self.residual and layer else y
        states = tuple(jnp.stack(parts, axis=1) for parts in zip(*lasts, strict=True))
        return x.swapaxes(0, 1), states if self.states > 1 else states[0]

    @property
    def directions(self) -> int:
        """One, or two."""
        return 2 if self.bidirectional else 1

    def initial_carry(self, batch_size: int) -> Carry:
        """Returns the carry before the first step: zeros, batch first."""
        shape = (batch_size, self.num_layers * self.directions, self.hidden_size)
        zeros = tuple(jnp.zeros(shape) for _ in range(self.states))
        return zeros if self.states > 1 else zeros[0]

    def _layer(
        self, layer: int, x: Array, states: list[tuple], mask: Array | None, lengths: Array | None
    ) -> tuple[Array, list[tuple]]:
        """Runs a layer, time first; returns its outputs and the last state of each direction."""
        outputs, lasts = [], []
        for reverse, state in enumerate(states):
            name = f"l{layer}{'_reverse' * reverse}"
            weight_ih, weight_hh, bias, recurrent_bias, x_, hidden = promote_dtype(
                *self._weights(name, x.shape[-1]), x, state[0], dtype=self.dtype
            )
            # One product of two matrices: XLA's CPU compiler is slow on a batched one's gradient.
            flat = x_.reshape(-1, x_.shape[-1])
            inputs = dot_general(flat, weight_ih.T, (((1,), (0,)), ((), ()))) + bias[None, :]
            inputs = inputs.reshape(*x_.shape[:2], len(bias))
            output, *others = self._run(
                name, inputs, weight_hh, recurrent_bias, (hidden, *state[1:]), mask, bool(reverse)
            )
            last = output[0 if reverse else -1].astype(jnp.float32)
            lasts.append((last, *others))
            outputs.append(output)
        return jnp.concatenate(outputs, axis=-1), lasts

    def _weights(self, name: str, features: int) -> tuple[Array, Array, Array, Array | None]:
        """Returns both matrices, and the biases of both sides."""
        gates = self.gates * self.hidden_size
        weight_ih = self.param(f"weight_ih_{name}", input_init, (gates, features))
        weight_hh = self.param(f"weight_hh_{name}", recurrent_init, (gates, self.hidden_size))
        return weight_ih, weight_hh, *self._biases(name)

    def _biases(self, name: str) -> tuple[Array, Array | None]:
        """Returns what is added to the input side, and what to the recurrent side."""
        gates = self.gates * self.hidden_size
        bias = self.param(f"bias_ih_{name}", self.bias_init, (gates,))
        if self.second_bias:
            bias += self.param(f"bias_hh_{name}", nn.initializers.zeros, (gates,))
        return bias, None

    def _run(self, name, inputs, weight, bias, states, mask, reverse) -> tuple[Array, ...]:
        """Runs the cell; returns its outputs, and the last of what else its state holds."""
        raise NotImplementedError


class RNN(_Stack):
    """A stack of vanilla recurrent networks, as torch's RNN.

    The attributes of all stacks, and:

    Attributes:
        activation: φ of `jdl.ops.recurrent.elman`.

    Example:
        >>> layer = RNN(hidden_size=8, bidirectional=True)
        >>> forward = lambda: layer.init_with_output(jax.random.key(0), jnp.zeros((4, 5, 3)))
        >>> (outputs, hidden), _ = jax.eval_shape(forward)
        >>> outputs.shape, hidden.shape
        ((4, 5, 16), (4, 2, 8))
    """

    activation: Callable[[Array], Array] = tanh

    def _run(self, name, inputs, weight, bias, states, mask, reverse):
        run = (inputs, weight, states[0], mask)
        return (elman(*run, activation=self.activation, reverse=reverse),)


class LSTM(_Stack):
    """A stack of long short-term memories, as torch's LSTM; cuDNN's on a GPU that has it.

    The attributes of all stacks, and:

    Attributes:
        peepholes: the gates see the cell, through `peephole_l0` [3, hidden] (i, f, o).

    Example:
        >>> layer = LSTM(hidden_size=8, num_layers=2)
        >>> forward = lambda: layer.init_with_output(jax.random.key(0), jnp.zeros((4, 5, 3)))
        >>> (outputs, (hidden, cell)), _ = jax.eval_shape(forward)
        >>> outputs.shape, hidden.shape
        ((4, 5, 8), (4, 2, 8))
    """

    peepholes: bool = False
    gates = 4
    states = 2
    bias_init = staticmethod(forget_one_init)

    def _layer(self, layer, x, states, mask, lengths):
        half = jnp.result_type(self.dtype or x.dtype) != jnp.float32
        if self.peepholes or half or not cudnn.is_available():
            return super()._layer(layer, x, states, mask, lengths)
        names = [f"l{layer}", f"l{layer}_reverse"][: self.directions]
        weights = [self._weights(name, x.shape[-1])[:3] for name in names]
        if lengths is None:
            lengths = jnp.full(x.shape[1], x.shape[0])
        hidden, cell = (jnp.stack(parts) for parts in zip(*states, strict=True))
        outputs, hidden, cell = cudnn.lstm(x.swapaxes(0, 1), weights, hidden, cell, lengths)
        return outputs.swapaxes(0, 1), list(zip(hidden, cell))

    def _run(self, name, inputs, weight, bias, states, mask, reverse):
        if not self.peepholes:
            hidden, cell = states
            return lstm(inputs, weight, hidden, cell, mask, reverse=reverse)
        shape = (3, self.hidden_size)
        peepholes = self.param(f"peephole_{name}", nn.initializers.zeros, shape)
        # These gates read the float32 cell, and are computed in float32.
        inputs, weight, hidden = (a.astype(jnp.float32) for a in (inputs, weight, states[0]))
        return peephole_lstm(inputs, weight, peepholes, hidden, states[1], mask, reverse=reverse)


class GRU(_Stack):
    """A stack of gated recurrent units, as torch's GRU or as the paper's.

    The attributes of all stacks, and:

    Attributes:
        reset: the reset gate works on W h ("after", torch and cuDNN) or on h ("before", Cho et al.,
            2014).

    Example:
        >>> layer = GRU(hidden_size=8, num_layers=2)
        >>> forward = lambda: layer.init_with_output(jax.random.key(0), jnp.zeros((4, 5, 3)))
        >>> (outputs, hidden), _ = jax.eval_shape(forward)
        >>> outputs.shape, hidden.shape
        ((4, 5, 8), (4, 2, 8))
    """

    reset: Literal["after", "before"] = "after"
    gates = 3

    def _biases(self, name):
        size = self.hidden_size
        bias = self.param(f"bias_ih_{name}", self.bias_init, (3 * size,))
        if self.second_bias:
            second = self.param(f"bias_hh_{name}", nn.initializers.zeros, (3 * size,))
            return bias.at[: 2 * size].add(second[: 2 * size]), second[2 * size :]
        if self.reset == "before":
            return bias, jnp.zeros(size)
        # With the reset gate between the two, the candidate's sides need a bias each.
        return bias, self.param(f"bias_hh_{name}", nn.initializers.zeros, (size,))

    def _run(self, name, inputs, weight, bias, states, mask, reverse):
        run = (inputs, weight, bias, states[0], mask)
        return (gru(*run, reset_after=self.reset == "after", reverse=reverse),)
