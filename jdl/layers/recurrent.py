"""Recurrent layers whose parameters are torch's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.ops.recurrent import lstm

# Weights are laid out as torch's: [4 · out, in], the gates i, f, g, o one after another.
input_init = nn.initializers.variance_scaling(
    1.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
)
orthogonal_init = nn.initializers.orthogonal()

Carry = tuple[Float[Array, "batch layers hidden"], Float[Array, "batch layers hidden"]]


def recurrent_init(key, shape, dtype=jnp.float32) -> Array:
    """Draws one orthogonal matrix for each gate.

    Example:
        >>> w = recurrent_init(jax.random.key(0), (12, 3))
        >>> bool(jnp.allclose(w[:3] @ w[:3].T, jnp.eye(3), atol=1e-5))
        True
    """
    rows, columns = shape
    keys = jax.random.split(key, rows // columns)
    return jax.vmap(lambda k: orthogonal_init(k, (columns, columns), dtype))(keys).reshape(shape)


def forget_one_init(key, shape, dtype=jnp.float32) -> Array:
    """Gives biases of zero, and of one to the forget gate, so that a new memory remembers.

    Source: Jozefowicz et al., 2015, http://proceedings.mlr.press/v37/jozefowicz15.html.

    Example:
        >>> forget_one_init(None, (8,)).tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    quarter = shape[0] // 4
    return jnp.zeros(shape, dtype).at[quarter : 2 * quarter].set(1)


class LSTM(nn.Module):
    """A stack of long short-term memories, as torch's LSTM.

    Each layer's input projection is one product over all steps; only the recurrent one runs step
    by step (`jdl.ops.recurrent.lstm`). Parameters are torch's: `weight_ih_l0`, `weight_hh_l0`,
    `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ..., in torch's layout.

    Attributes:
        hidden_size: numbers in the state of each layer.
        num_layers: layers, each fed with the outputs of the one below.
        dropout: rate between the layers.
        dtype: of the products; cells, gates and parameters stay float32.

    Example:
        >>> layer = LSTM(hidden_size=8, num_layers=2)
        >>> forward = lambda: layer.init_with_output(jax.random.key(0), jnp.zeros((4, 5, 3)))
        >>> (outputs, (hidden, cell)), _ = jax.eval_shape(forward)
        >>> outputs.shape, hidden.shape
        ((4, 5, 8), (4, 2, 8))
    """

    hidden_size: int
    num_layers: int = 1
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch time features"],
        carry: Carry | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time hidden"], Carry]:
        """Reads sequences.

        Args:
            inputs: one vector per step.
            carry: hidden states and cells of all layers to start from; zeros when not given.
            train: apply dropout between the layers.

        Returns:
            The hidden states of the last layer at all steps, and the carry after the last step.
        """
        hiddens, cells = self.initial_carry(inputs.shape[0]) if carry is None else carry
        x = inputs.swapaxes(0, 1)
        lasts = []
        for layer in range(self.num_layers):
            if layer:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x, cell = self._layer(layer, x, hiddens[:, layer], cells[:, layer])
            lasts.append((x[-1].astype(jnp.float32), cell))
        hidden, cell = (jnp.stack(states, axis=1) for states in zip(*lasts, strict=True))
        return x.swapaxes(0, 1), (hidden, cell)

    def initial_carry(self, batch_size: int) -> Carry:
        """Returns the carry before the first step: zeros, batch first."""
        shape = (batch_size, self.num_layers, self.hidden_size)
        return jnp.zeros(shape), jnp.zeros(shape)

    def _layer(self, layer: int, x: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
        gates = 4 * self.hidden_size
        weight_ih = self.param(f"weight_ih_l{layer}", input_init, (gates, x.shape[-1]))
        weight_hh = self.param(f"weight_hh_l{layer}", recurrent_init, (gates, self.hidden_size))
        bias_ih = self.param(f"bias_ih_l{layer}", forget_one_init, (gates,))
        bias_hh = self.param(f"bias_hh_l{layer}", nn.initializers.zeros, (gates,))
        x, weight_ih, weight_hh, hidden, bias = promote_dtype(
            x, weight_ih, weight_hh, hidden, bias_ih + bias_hh, dtype=self.dtype
        )
        # One product of two matrices: XLA's CPU compiler is slow on the gradient of a batched one.
        inputs = x.reshape(-1, x.shape[-1]) @ weight_ih.T + bias[None, :]
        return lstm(inputs.reshape(*x.shape[:2], gates), weight_hh, hidden, cell)
