"""A language model over characters: a stack of LSTMs or GRUs between embedding and classifier."""

from typing import Literal

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.layers.recurrent import GRU, LSTM, Carry
from jdl.models.registry import register_model, tokens


class RecurrentLanguageModel(nn.Module):
    """Recurrent language model (Graves, 2013, https://arxiv.org/abs/1308.0850, Section 2).

        p(x_{t+1} | x_1, ..., x_t) = softmax(W h_t + b),  h = LSTM(embed(x))        (1)

    or with a gated recurrent unit (Chung et al., 2014, https://arxiv.org/abs/1412.3555).

    The carry that comes out of one piece of text goes into the next (`extend`). Layers carry the
    names of torch's word language model.

    Intermediates: `embedded`, and `hidden`, the outputs of the last layer.

    Attributes:
        vocabulary_size: number of different tokens.
        embedding_size: numbers per token.
        hidden_size: numbers in the state of each layer.
        num_layers: layers on top of each other.
        dropout: rate after each layer.
        cell: what the layers are made of.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 65
    embedding_size: int = 384
    hidden_size: int = 384
    num_layers: int = 1
    dropout: float = 0.0
    cell: Literal["lstm", "gru"] = "lstm"
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        self.encoder = nn.Embed(self.vocabulary_size, self.embedding_size, dtype=self.dtype)
        stack = LSTM if self.cell == "lstm" else GRU
        self.rnn = stack(self.hidden_size, self.num_layers, dropout=self.dropout, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.decoder = nn.Dense(self.vocabulary_size, dtype=self.dtype)

    def __call__(
        self, tokens: Int[Array, "batch time"], *, train: bool = False
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each next token.

        Args:
            tokens: ids, from 0 to `vocabulary_size` − 1.
            train: apply dropout.

        Returns:
            Logits of the token after each of `tokens`.
        """
        return self._run(None, tokens, train)[0]

    def extend(
        self, carry: Carry, tokens: Int[Array, "batch time"]
    ) -> tuple[Float[Array, "batch time vocabulary"], Carry]:
        """Reads more of a text.

        Args:
            carry: after the text before.
            tokens: the next of them.

        Returns:
            Logits of the token after each of `tokens`, and the carry after the last.
        """
        return self._run(carry, tokens, train=False)

    def _run(
        self, carry: Carry | None, tokens: Int[Array, "batch time"], train: bool
    ) -> tuple[Float[Array, "batch time vocabulary"], Carry]:
        x = self.encoder(tokens)
        self.sow("intermediates", "embedded", x)
        x, carry = self.rnn(x, carry, train=train)
        self.sow("intermediates", "hidden", x)
        return self.decoder(self.drop(x, deterministic=not train)), carry

    def initial_carry(self, batch_size: int) -> Carry:
        """Returns the carry before any text: zeros, batch first.

        Example:
            >>> [state.shape for state in char_lstm(num_layers=2).initial_carry(4)]
            [(4, 2, 384), (4, 2, 384)]
        """
        stack = LSTM if self.cell == "lstm" else GRU
        return stack(self.hidden_size, self.num_layers, parent=None).initial_carry(batch_size)


@register_model(
    example=tokens(64), paper="Graves, 2013, https://arxiv.org/abs/1308.0850", params=1_232_705
)
def char_lstm(**overrides) -> RecurrentLanguageModel:
    """A character model of one LSTM of 384 cells, for the 65 characters of tiny Shakespeare.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, text = char_lstm(), jnp.zeros((2, 8), int)
        >>> forward = lambda: model.init_with_output(jax.random.key(0), text)
        >>> jax.eval_shape(forward)[0].shape
        (2, 8, 65)
    """
    return RecurrentLanguageModel(**overrides)
