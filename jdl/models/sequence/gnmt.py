"""GNMT: deep LSTMs with residual connections, and attention from the bottom of the decoder."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from jdl.layers.recurrent import LSTM
from jdl.models.registry import lengths, register_model, tokens
from jdl.ops.attention import additive_weights

Source = Int[Array, "batch source"]
Tokens = Int[Array, "batch time"]
Lengths = Int[Array, " batch"]
Memory = dict[str, Any]


class BottomStep(nn.Module):
    """One step of the decoder's bottom layer, which looks at the source for all layers.

        a = softmax(vᵀ tanh(W_a s + U_a hⱼ)) over j,  c = Σⱼ aⱼ hⱼ                    (1)
        s' = LSTM([e; c], s)                                                        (2)

    with s the bottom layer's output at the step before and e the embedding of the token before.

    Attributes:
        hidden_size: cells, and numbers in the hidden layer of (1).
        dtype: of the products.
    """

    hidden_size: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, carry: PyTree, embedded: Float[Array, "batch size"], memory: Memory
    ) -> tuple[PyTree, tuple[Array, Array, Array]]:
        """Reads one token.

        Args:
            carry: hidden state and cell, [batch, 1, hidden] each.
            embedded: e.
            memory: "outputs" h, "keys" U_a h, and "mask".

        Returns:
            The next carry; and s', c and a.
        """
        size = self.hidden_size
        direction = self.param("align", nn.initializers.normal(size**-0.5), (size,))
        query = nn.Dense(size, use_bias=False, dtype=self.dtype, name="query")(carry[0])
        mask = memory["mask"][:, None]
        weights = additive_weights(query, memory["keys"], direction, mask)  # (1)
        context = weights.astype(query.dtype) @ memory["outputs"]
        x = jnp.concatenate([embedded[:, None], context], axis=-1)
        output, carry = LSTM(size, second_bias=False, dtype=self.dtype, name="lstm")(
            x, carry
        )  # (2)
        return carry, (output[:, 0], context[:, 0], weights[:, 0])


class GNMT(nn.Module):
    """Google's neural machine translation network (Wu et al., 2016).

    The encoder's first layer reads in both directions, those above in one. From the third layer on,
    a layer's inputs are added to its outputs, on both sides. The decoder's bottom layer finds the
    context (`BottomStep`), and all decoder layers are given it beside their inputs, so that only
    the bottom one has to run step by step in training. Nothing but attention leads from the encoder
    to the decoder.

    Intermediates: `memory`, and `attention` [batch, time, source].

    Attributes:
        source_vocabulary: number of different source tokens.
        target_vocabulary: number of different target tokens.
        hidden_size: numbers per token and in each state.
        num_layers: on each side, 2 or more.
        dropout: rate on the inputs of every layer.
        dtype: of the products; parameters stay float32.
    """

    source_vocabulary: int = 32_000
    target_vocabulary: int = 32_000
    hidden_size: int = 1024
    num_layers: int = 8
    dropout: float = 0.2
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        size, dtype = self.hidden_size, self.dtype

        def layer(bidirectional: bool = False) -> LSTM:
            return LSTM(size, bidirectional=bidirectional, second_bias=False, dtype=dtype)

        self.source_embedding = nn.Embed(self.source_vocabulary, size, dtype=dtype)
        self.target_embedding = nn.Embed(self.target_vocabulary, size, dtype=dtype)
        self.encoder = [layer(bidirectional=i == 0) for i in range(self.num_layers)]
        self.keys = nn.Dense(size, use_bias=False, dtype=dtype)
        self.bottom = nn.scan(
            BottomStep,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast),
            out_axes=1,
        )(size, dtype)
        self.decoder = [layer() for _ in range(1, self.num_layers)]
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.target_vocabulary, dtype=dtype)

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
        return self._decode(memory, self.initial_carry(memory), inputs, train=train)[0]

    def encode(self, source: Source, source_length: Lengths, *, train: bool = False) -> Memory:
        """Reads the source.

        Returns:
            "outputs", the top layer's; "keys", made of them; and "mask" of what is there.
        """
        x = self.source_embedding(source)
        for i, layer in enumerate(self.encoder):
            y, _ = layer(self.drop(x, deterministic=not train), lengths=source_length)
            x = x + y if i >= 2 else y
        self.sow("intermediates", "memory", x)
        there = jnp.arange(source.shape[1])[None] < source_length[:, None]
        return {"outputs": x, "keys": self.keys(x), "mask": there}

    def initial_carry(self, memory: Memory) -> PyTree:
        """Returns the states before the first step, the bottom layer's first: zeros."""
        zeros = jnp.zeros((len(memory["mask"]), 1, self.hidden_size))
        return ((zeros, zeros),) * self.num_layers

    def step(
        self, memory: Memory, carry: PyTree, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], PyTree, Float[Array, "batch source"]]:
        """Predicts one more token.

        Args:
            memory: what `encode` returned.
            carry: what the step before returned, or `initial_carry`.
            tokens: the token before.

        Returns:
            Logits, the next carry, and where it looked.
        """
        logits, carry, weights = self._decode(memory, carry, tokens[:, None], train=False)
        return logits[:, 0], carry, weights[:, 0]

    def _decode(self, memory: Memory, carry: PyTree, inputs: Tokens, *, train: bool):
        y = self.drop(self.target_embedding(inputs), deterministic=not train)
        bottom, *above = carry
        bottom, (x, contexts, weights) = self.bottom(bottom, y, memory)
        self.sow("intermediates", "attention", weights)
        carry = [bottom]
        for i, (layer, state) in enumerate(zip(self.decoder, above, strict=True), start=1):
            below = jnp.concatenate([self.drop(x, deterministic=not train), contexts], axis=-1)
            y, state = layer(below, state)
            x = x + y if i >= 2 else y
            carry.append(state)
        return self.output(self.drop(x, deterministic=not train)), tuple(carry), weights


@register_model(
    example=tokens(16) + lengths() + tokens(16),
    paper="Wu et al., 2016, https://arxiv.org/abs/1609.08144",
    params=280_858_880,
)
def gnmt(**overrides) -> GNMT:
    """Eight layers of 1,024 cells on each side, 32,000 pieces of words in both languages.

    Example:
        >>> gnmt(num_layers=4).hidden_size
        1024
    """
    return GNMT(**overrides)
