"""Sequence to sequence: one LSTM reads, another writes."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from jdl.layers.convolution import Conv
from jdl.layers.recurrent import LSTM
from jdl.models.registry import lengths, register_model, tokens
from jdl.ops.attention import dot_product_weights
from jdl.ops.sequences import reversed_within

Source = Int[Array, "batch source"]
Tokens = Int[Array, "batch time"]
Lengths = Int[Array, " batch"]
Logits = Float[Array, "batch time vocabulary"]
Memory = dict[str, Any]


class Decoder(nn.Module):
    """What writes: equations (2) to (5) of `Seq2Seq`, whose attributes these are."""

    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    attention: bool
    dropout: float
    output_dropout: float
    dtype: DTypeLike | None

    def setup(self) -> None:
        """Builds the layers."""
        self.embedding = nn.Embed(self.vocabulary_size, self.embedding_size, dtype=self.dtype)
        self.lstm = LSTM(self.hidden_size, self.num_layers, dropout=self.dropout, dtype=self.dtype)
        if self.attention:
            self.combine = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.drop_output = nn.Dropout(self.output_dropout)
        self.output = nn.Dense(self.vocabulary_size, dtype=self.dtype)

    def __call__(
        self, memory: Memory, carry: PyTree, inputs: Tokens, *, train: bool
    ) -> tuple[Array, PyTree, Array | None]:
        """Writes; returns logits, the next carry, and a of (4), None without attention."""
        y = self.drop(self.embedding(inputs), deterministic=not train)
        h, carry = self.lstm(y, carry, train=train)  # (2)
        self.sow("intermediates", "hidden", h)
        weights = None
        if self.attention:
            keys, values = memory["keys"][:, :, None], memory["values"]
            mask = memory["mask"][:, None, None]
            weights = dot_product_weights(h[:, :, None], keys, mask)[:, 0]  # (4)
            self.sow("intermediates", "attention", weights)
            context = weights.astype(values.dtype) @ values
            h = jnp.tanh(context + self.combine(h))  # (5)
        return self.output(self.drop_output(h, deterministic=not train)), carry, weights  # (3)


class Seq2Seq(nn.Module):
    """LSTM encoder–decoder (Sutskever et al., 2014), with attention if wanted (Luong et al., 2015).

        (m₁, …, m_S), v = encoder LSTM(x₁, …, x_S)                                  (1)
        hₜ = decoder LSTM(yₜ₋₁, hₜ₋₁), h₀ = v                                       (2)
        p(yₜ | y₁ … yₜ₋₁, x) = softmax(W gₜ + b)                                    (3)

    where gₜ is hₜ, or with attention, scaled by the root of its size as the Transformer's,

        aₜ = softmax(hₜᵀ W_k m / √d),  cₜ = Σᵢ aₜᵢ W_v mᵢ                            (4)
        gₜ = tanh(cₜ + W_c hₜ)                                                      (5)

    which is the paper's tanh(W [Σᵢ aₜᵢ mᵢ; hₜ]), with the memory multiplied once and not in every
    step.

    With `filters`, the encoder reads GELU(W_f [xₛ₋₂; …; xₛ₊₂] + b_f) in place of xₛ, so a symbol
    with its neighbours, as Tacotron 2's does through three such layers (Shen et al., 2018, section
    2.2).

    With `backward`, a second decoder predicts each token from those *after* it, p(yₜ | yₜ₊₁ … y_T,
    x): the two agree on what is right more often than on what is wrong (Liu et al., 2016).

    As cₜ does not go back into the LSTM, all steps of training's decoder but its recurrent product
    are computed at once. A bidirectional encoder hands over the state of the direction that comes
    last to the symbol that is written first.

    Intermediates: `memory`, and of each decoder `hidden` and `attention` [batch, time, source].

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
        backward: a second decoder writes from the end.
        dropout: rate on embeddings and between layers.
        output_dropout: rate on g.
        dtype: of the products; parameters stay float32.

    Source of the second decoder: Liu et al., 2016, https://doi.org/10.1609/aaai.v30i1.10327, here
    with one encoder, one W_k and one W_v for both.
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
    backward: bool = False
    dropout: float = 0.0
    output_dropout: float = 0.0
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        self.source_embedding = nn.Embed(
            self.source_vocabulary, self.embedding_size, dtype=self.dtype
        )
        if self.filters:
            self.neighbours = Conv(self.filters, (5,), dtype=self.dtype)
        self.encoder = LSTM(
            self.hidden_size,
            self.num_layers,
            self.bidirectional,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        decoder = partial(
            Decoder,
            self.target_vocabulary,
            self.embedding_size,
            self.hidden_size,
            self.num_layers,
            self.attention,
            self.dropout,
            self.output_dropout,
            self.dtype,
        )
        self.decoder = decoder()
        if self.backward:
            self.backward_decoder = decoder()
        if self.attention:
            self.keys = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype)
            self.values = nn.Dense(self.hidden_size, use_bias=False, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        source: Source,
        source_length: Lengths,
        inputs: Tokens,
        backward_inputs: Tokens | None = None,
        *,
        train: bool = False,
    ) -> Logits | tuple[Logits, Logits]:
        """Predicts each target token from the source and the target tokens before it.

        Args:
            source: ids, padded at their end.
            source_length: how many of each sequence's are there.
            inputs: the target, one step late: the token to begin after comes first.
            backward_inputs: the same of the target from its end, for the second decoder.
            train: apply dropout.

        Returns:
            Logits of the token after each of `inputs`; with `backward_inputs`, also of the token
            after each of them.
        """
        memory = self.encode(source, source_length, train=train)
        logits, _, _ = self.decoder(memory, memory["state"], inputs, train=train)
        if backward_inputs is None:
            return logits
        state = memory["backward_state"]
        return logits, self.backward_decoder(memory, state, backward_inputs, train=train)[0]

    def encode(self, source: Source, source_length: Lengths, *, train: bool = False) -> Memory:
        """Reads the source (1).

        Returns:
            "state", the decoder's first, and "backward_state", the second decoder's if there is
            one; with attention also the "keys", "values" and "mask" of (4).
        """
        if self.reverse_source:
            source = reversed_within(source, source_length)
        there = jnp.arange(source.shape[1])[None] < source_length[:, None]
        x = self.drop(self.source_embedding(source), deterministic=not train)
        if self.filters:
            x = nn.gelu(self.neighbours(x * there[..., None]))
        outputs, state = self.encoder(x, lengths=source_length, train=train)
        self.sow("intermediates", "memory", outputs)
        if self.reverse_source:
            outputs = reversed_within(outputs, source_length)
        at_end = at_start = state
        if self.bidirectional:
            at_end, at_start = (tuple(part[:, i::2] for part in state) for i in (0, 1))
        memory: Memory = {"state": at_start}
        if self.backward:
            memory["backward_state"] = at_end
        if self.attention:
            memory |= {"keys": self.keys(outputs), "values": self.values(outputs), "mask": there}
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
        logits, carry, weights = self.decoder(memory, carry, tokens[:, None], train=False)
        return logits[:, 0], carry, None if weights is None else weights[:, 0]


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
