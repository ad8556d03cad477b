"""Sequence to sequence: one LSTM reads, another writes."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from jdl.layers.convolution import Conv
from jdl.layers.recurrent import LSTM
from jdl.models.registry import lengths, register_model, tokens
from jdl.ops.attention import dot_product_weights

Source = Int[Array, "batch source"]
Tokens = Int[Array, "batch time"]
Lengths = Int[Array, " batch"]
Memory = dict[str, Any]


class Seq2Seq(nn.Module):
    """LSTM encoder–decoder (Sutskever et al., 2014), with attention if wanted (Luong et al., 2015).

        (m₁, …, m_S), v = encoder LSTM(x₁, …, x_S)                                  (1)
        hₜ = decoder LSTM(yₜ₋₁, hₜ₋₁), h₀ = v                                       (2)
        p(yₜ | y₁ … yₜ₋₁, x) = softmax(W gₜ + b)                                    (3)

    where gₜ is hₜ, or with attention, scaled by the root of its size as the Transformer's,

        aₜ = softmax(hₜᵀ W_k m / √d),  cₜ = Σᵢ aₜᵢ mᵢ                                (4)
        gₜ = tanh(W_c [cₜ; hₜ])                                                     (5)

    With `filters`, the encoder reads GELU(W_f [xₛ₋₂; …; xₛ₊₂] + b_f) in place of xₛ, so a symbol
    with its neighbours, as Tacotron 2's does through three such layers (Shen et al., 2018, section
    2.2).

    As cₜ does not go back into the LSTM, all steps of training's decoder but its recurrent product
    are computed at once. A bidirectional encoder hands over the state of the direction that comes
    to the first symbol last.

    Intermediates: `memory`, `hidden`, and `attention` [batch, time, source].

    Attributes:
        source_vocabulary: number of different source tokens.
        target_vocabulary: number of different target tokens.
        embedding_size: numbers per token.
        filters: of a convolution over five symbols that the encoder begins with; 0 is none.
        hidden_size: numbers in each state.
        num_layers: LSTMs on top of each other, on both sides.
        bidirectional: the encoder reads from both ends.
        reverse_source: the encoder reads from the end.
        attention: (4) and (5).
        dropout: rate on embeddings and between layers.
        output_dropout: rate on g.
        dtype: of the products; parameters stay float32.
    """

    source_vocabulary: int = 160_000
    target_vocabulary: int = 80_000
    embedding_size: int = 1000
    filters: int = 0
    hidden_size: int = 1000
    num_layers: int = 4
    bidirectional: bool = False
    reverse_source: bool = True
    attention: bool = False
    dropout: float = 0.0
    output_dropout: float = 0.0
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        self.source_embedding = nn.Embed(
            self.source_vocabulary, self.embedding_size, dtype=self.dtype
        )
        self.target_embedding = nn.Embed(
            self.target_vocabulary, self.embedding_size, dtype=self.dtype
        )
        if self.filters:
            self.neighbours = Conv(self.filters, (5,), dtype=self.dtype)
        stack = (self.hidden_size, self.num_layers)
        self.encoder = LSTM(*stack, self.bidirectional, dropout=self.dropout, dtype=self.dtype)
        self.decoder = LSTM(*stack, dropout=self.dropout, dtype=self.dtype)
        if self.attention:
            self.keys = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype)
            self.combine = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.drop_output = nn.Dropout(self.output_dropout)
        self.output = nn.Dense(self.target_vocabulary, dtype=self.dtype)

    def __call__(
        self, source: Source, source_length: Lengths, inputs: Tokens, *, train: bool = False
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each target token from the source and the target tokens before it.

        Args:
            source: ids, padded at their end.
            source_length: how many of each sequence's are there.
            inputs: the target, one step late: the token to begin after comes first.
            train: apply dropout.

        Returns:
            Logits of the token after each of `inputs`.
        """
        memory = self.encode(source, source_length, train=train)
        carry = self.initial_carry(memory)
        return self._decode(memory, carry, inputs, train=train)[0]

    def encode(self, source: Source, source_length: Lengths, *, train: bool = False) -> Memory:
        """Reads the source (1).

        Returns:
            "state", the decoder's first; with attention also the "keys", "values" and "mask" of
            (4).
        """
        if self.reverse_source:
            source = reversed_within(source, source_length)
        there = jnp.arange(source.shape[1])[None] < source_length[:, None]
        x = self.drop(self.source_embedding(source), deterministic=not train)
        if self.filters:
            x = nn.gelu(self.neighbours(x * there[..., None]))
        outputs, state = self.encoder(x, lengths=source_length, train=train)
        self.sow("intermediates", "memory", outputs)
        if self.bidirectional:
            state = tuple(part[:, 1::2] for part in state)
        memory: Memory = {"state": state}
        if self.attention:
            if self.reverse_source:
                outputs = reversed_within(outputs, source_length)
            memory |= {"keys": self.keys(outputs), "values": outputs, "mask": there}
        return memory

    def initial_carry(self, memory: Memory) -> PyTree:
        """Returns what the decoder remembers before the first step."""
        return memory["state"]

    def step(
        self, memory: Memory, carry: PyTree, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], PyTree, Float[Array, "batch source"] | None]:
        """Predicts one more token.

        Args:
            memory: what `encode` returned.
            carry: what the step before returned, or `initial_carry`.
            tokens: the token before.

        Returns:
            Logits, the next carry, and a of (4), None without attention.
        """
        logits, carry, weights = self._decode(memory, carry, tokens[:, None], train=False)
        return logits[:, 0], carry, None if weights is None else weights[:, 0]

    def _decode(self, memory: Memory, carry: PyTree, inputs: Tokens, *, train: bool):
        y = self.drop(self.target_embedding(inputs), deterministic=not train)
        h, carry = self.decoder(y, carry, train=train)  # (2)
        self.sow("intermediates", "hidden", h)
        weights = None
        if self.attention:
            keys, values = memory["keys"][:, :, None], memory["values"]
            mask = memory["mask"][:, None, None]
            weights = dot_product_weights(h[:, :, None], keys, mask)[:, 0]  # (4)
            self.sow("intermediates", "attention", weights)
            context = weights.astype(values.dtype) @ values
            h = jnp.tanh(self.combine(jnp.concatenate([context, h], axis=-1)))  # (5)
        return self.output(self.drop_output(h, deterministic=not train)), carry, weights  # (3)


def reversed_within(sequences: Array, lengths: Lengths) -> Array:
    """Reverses what is there of each sequence; the padding stays where it is.

    Args:
        sequences: [batch, time, ...].
        lengths: how many steps of each are there.

    Example:
        >>> reversed_within(jnp.array([[1, 2, 3, 0]]), jnp.array([3])).tolist()
        [[3, 2, 1, 0]]
    """
    place = jnp.arange(sequences.shape[1])[None]
    source = jnp.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    source = source.reshape(*source.shape, *(1,) * (sequences.ndim - 2))
    return jnp.take_along_axis(sequences, source, axis=1)


@register_model(
    example=tokens(16) + lengths() + tokens(16),
    paper="Sutskever et al., 2014, https://arxiv.org/abs/1409.3215",
    params=384_144_000,
)
def seq2seq(**overrides) -> Seq2Seq:
    """Four LSTMs of 1,000 cells on each side, the source read backwards.

    The paper counts 384M, 64M of them in the LSTMs; the rest here are 144,000 biases.

    Example:
        >>> seq2seq(num_layers=2).reverse_source
        True
    """
    return Seq2Seq(**overrides)
