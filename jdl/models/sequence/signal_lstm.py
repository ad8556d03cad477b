"""An LSTM that reads signals and answers after every step."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.recurrent import LSTM
from jdl.models.registry import register_model, signal


class SignalLSTM(nn.Module):
    """Long short-term memories and a dense layer (Hochreiter and Schmidhuber, 1997).

        y_t = W h_t + b,  h = LSTM(x)                                               (1)

    Intermediate: `hidden`, the outputs of the last LSTM.

    Attributes:
        num_outputs: numbers in each answer.
        hidden_size: numbers in the state of each layer.
        num_layers: LSTMs on top of each other.
        dropout: rate after each LSTM.
        dtype: of the products; parameters stay float32.
    """

    num_outputs: int = 1
    hidden_size: int = 128
    num_layers: int = 1
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, signals: Float[Array, "batch time channels"], *, train: bool = False
    ) -> Float[Array, "batch time outputs"]:
        """Reads signals.

        Args:
            signals: of about unit variance.
            train: apply dropout.

        Returns:
            An answer after each step, from that step and those before it.
        """
        lstm = LSTM(
            self.hidden_size, self.num_layers, dropout=self.dropout, dtype=self.dtype, name="rnn"
        )
        x, _ = lstm(signals, train=train)
        self.sow("intermediates", "hidden", x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_outputs, dtype=self.dtype, name="linear")(x)


@register_model(
    example=signal(600, 2),
    paper="Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735",
    params=67_713,
)
def signal_lstm(**overrides) -> SignalLSTM:
    """One LSTM of 128 cells over signals.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, signals = signal_lstm(), jnp.zeros((3, 600, 2))
        >>> forward = lambda key: model.init_with_output(key, signals)
        >>> answers, _ = jax.eval_shape(forward, jax.random.key(0))
        >>> answers.shape
        (3, 600, 1)
    """
    return SignalLSTM(**overrides)
