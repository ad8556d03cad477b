"""The Transformer: an encoder and a decoder made of attention alone."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from jdl.errors import UserError
from jdl.layers.dense import Dense
from jdl.models.registry import register_model, tokens
from jdl.ops.attention import dot_product_weights
from jdl.ops.positions import sinusoids

Sequences = Float[Array, "batch time width"]
KeysValues = Float[Array, "batch keys two heads size"]
Cache = Float[Array, "batch length two heads size"]
Mask = Bool[Array, "#batch 1 #queries keys"]
Weights = Float[Array, "batch heads queries keys"]
# Of each decoder layer, the keys and values of the source; and where the source is not padding.
Memory = tuple[tuple[KeysValues, ...], Bool[Array, "batch source"]]
# Of each decoder layer, the keys and values of the tokens so far; and how many there are.
Carry = tuple[tuple[Cache, ...], Int[Array, " batch"]]

xavier = nn.initializers.xavier_uniform()
# Query, key and value are three square matrices above each other: Xavier's bound is that of each.
xavier_square = nn.initializers.variance_scaling(1.0, "fan_in", "uniform", in_axis=-1, out_axis=-2)


class MultiHeadAttention(nn.Module):
    """Attention of several heads (section 3.2.2), its parameters laid out as torch's.

        q = x W_q + b_q;  [k, v] = m [W_k, W_v] + [b_k, b_v];  each cut into heads  (1)
        y = softmax(q kᵀ / √d, over the keys that the mask allows) v W_o + b_o      (2)

    x attends to m, which is x itself in self-attention. Intermediate: `weights`, the softmax.

    Attributes:
        width: numbers per token.
        num_heads: heads, of d = width / num_heads numbers.
        dtype: of the products; the softmax runs in float32.
    """

    width: int
    num_heads: int
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the projections."""
        shape = (3 * self.width, self.width)
        self.weight = self.param("in_proj_weight", xavier_square, shape)
        self.bias = self.param("in_proj_bias", nn.initializers.zeros, shape[:1])
        self.out_proj = Dense(self.width, kernel_init=xavier, dtype=self.dtype)

    def keys_values(self, memory: Sequences) -> KeysValues:
        """Returns keys and values of what is attended to."""
        return self._project(memory, 1, 3)

    def __call__(
        self, x: Sequences, keys_values: KeysValues, mask: Mask
    ) -> tuple[Sequences, Weights]:
        """Applies equations (1), for q, and (2); returns y and the softmax."""
        query = self._project(x, 0, 1)[:, :, 0]
        key, value = jnp.unstack(keys_values, axis=2)
        weights = dot_product_weights(query, key, mask)
        self.sow("intermediates", "weights", weights)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        return self.out_proj(y.reshape(x.shape)), weights

    def _project(self, x: Array, first: int, end: int) -> Array:
        part = slice(first * self.width, end * self.width)
        x, weight, bias = promote_dtype(x, self.weight[part], self.bias[part], dtype=self.dtype)
        # One product of two matrices: XLA's CPU compiler is slow on the gradient of a batched one.
        y = x.reshape(-1, self.width) @ weight.T + bias[None]
        return y.reshape(*x.shape[:2], end - first, self.num_heads, -1)


class EncoderLayer(nn.Module):
    """One layer of the encoder (section 3.1): each part is added, and the sum is normed.

        x ← norm₁(x + attention(x, x));  x ← norm₂(x + W₂ ReLU(W₁ x + b₁) + b₂)     (3)

    with dropout on what is added. Intermediate: `output`.

    Attributes:
        width: numbers per token.
        num_heads: attention heads.
        mlp_width: numbers per token between the two dense layers.
        dropout: rate.
        dtype: of the products.
    """

    width: int
    num_heads: int
    mlp_width: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Sequences, mask: Mask, *, train: bool) -> Sequences:
        """Applies equation (3)."""
        attention = MultiHeadAttention(self.width, self.num_heads, self.dtype, name="self_attn")
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y, _ = attention(x, attention.keys_values(x), mask)
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm1")(x + drop(y))
        y = Dense(self.mlp_width, kernel_init=xavier, dtype=self.dtype, name="linear1")(x)
        y = Dense(self.width, kernel_init=xavier, dtype=self.dtype, name="linear2")(nn.relu(y))
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm2")(x + drop(y))
        self.sow("intermediates", "output", x)
        return x


class DecoderLayer(nn.Module):
    """One layer of the decoder (section 3.1), which also attends to the encoded source m.

        x ← norm₁(x + attention₁(x, x)), in which no position sees a later one      (4)
        x ← norm₂(x + attention₂(x, m));  x ← norm₃(x + W₂ ReLU(W₁ x + b₁) + b₂)    (5)

    with dropout on what is added. Intermediate: `output`.

    Attributes:
        width: numbers per token.
        num_heads: attention heads.
        mlp_width: numbers per token between the two dense layers.
        dropout: rate.
        dtype: of the products.
    """

    width: int
    num_heads: int
    mlp_width: int
    dropout: float
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the parts."""
        self.self_attn = MultiHeadAttention(self.width, self.num_heads, self.dtype)
        self.multihead_attn = MultiHeadAttention(self.width, self.num_heads, self.dtype)
        self.linear1 = Dense(self.mlp_width, kernel_init=xavier, dtype=self.dtype)
        self.linear2 = Dense(self.width, kernel_init=xavier, dtype=self.dtype)
        self.norm1, self.norm2, self.norm3 = (
            nn.LayerNorm(epsilon=1e-5, dtype=self.dtype) for _ in range(3)
        )
        self.drop = nn.Dropout(self.dropout)

    def memory(self, encoded: Sequences) -> KeysValues:
        """Returns the source's keys and values."""
        return self.multihead_attn.keys_values(encoded)

    def __call__(
        self, x: Sequences, memory: KeysValues, source: Mask, *, train: bool
    ) -> tuple[Sequences, Weights]:
        """Reads all tokens at once; returns them, and the weights that they give to the source."""
        past = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))[None, None]
        return self._layer(x, self.self_attn.keys_values(x), past, memory, source, train)

    def step(
        self,
        x: Sequences,
        cache: Cache,
        position: Int[Array, " batch"],
        memory: KeysValues,
        source: Mask,
    ) -> tuple[Sequences, Weights, Cache]:
        """Reads one token; returns what `__call__` does, and the cache with the token's in it."""
        batch, length = cache.shape[:2]
        cache = cache.at[jnp.arange(batch), position].set(self.self_attn.keys_values(x)[:, 0])
        past = jnp.arange(length)[None] <= position[:, None]
        x, weights = self._layer(x, cache, past[:, None, None], memory, source, False)
        return x, weights, cache

    def _layer(self, x, keys_values, past, memory, source, train):
        y, _ = self.self_attn(x, keys_values, past)
        x = self.norm1(x + self.drop(y, deterministic=not train))
        y, weights = self.multihead_attn(x, memory, source)
        x = self.norm2(x + self.drop(y, deterministic=not train))
        y = self.linear2(nn.relu(self.linear1(x)))
        x = self.norm3(x + self.drop(y, deterministic=not train))
        self.sow("intermediates", "output", x)
        return x, weights


class Transformer(nn.Module):
    """Encoder–decoder Transformer (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762).

        x = √d · embed(token) + PE(position), with dropout                          (6)
        p(next token) = softmax(embed · decoder(x, encoder(source)))                (7)

    The norms follow the sums and none comes at the end. One matrix embeds the source and the
    target and gives the logits (section 3.4); with vocabularies of their own, source and target
    are embedded apart.

    Layers carry the names of `torch.nn.Transformer`. Intermediates: `encoder.layers.0.output`,
    `encoder.layers.0.self_attn.weights`, and so `decoder.layers.0`, with `multihead_attn.weights`.

    Attributes:
        vocabulary_size: number of different target tokens.
        source_vocabulary_size: number of different source tokens, where they are others.
        width: d, numbers per token; even.
        num_layers: layers of the encoder, and of the decoder.
        num_heads: attention heads; they divide the width.
        mlp_width: numbers per token between a layer's two dense layers.
        dropout: rate on embeddings and on what is added in each layer.
        max_length: tokens that `step` can take one after another; `__call__` takes any number.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 37_000
    source_vocabulary_size: int | None = None
    width: int = 512
    num_layers: int = 6
    num_heads: int = 8
    mlp_width: int = 2048
    dropout: float = 0.1
    max_length: int = 256
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        if self.width % self.num_heads:
            raise UserError(f"a width of {self.width} does not divide into {self.num_heads} heads")
        init = nn.initializers.normal(self.width**-0.5)
        self.embedding = nn.Embed(
            self.vocabulary_size, self.width, embedding_init=init, dtype=self.dtype
        )
        if self.source_vocabulary_size is not None:
            self.source_embedding = nn.Embed(
                self.source_vocabulary_size, self.width, embedding_init=init, dtype=self.dtype
            )
        sizes = (self.width, self.num_heads, self.mlp_width, self.dropout, self.dtype)
        layers = range(self.num_layers)
        self.encoder = [EncoderLayer(*sizes, name=f"encoder.layers.{i}") for i in layers]
        self.decoder = [DecoderLayer(*sizes, name=f"decoder.layers.{i}") for i in layers]
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, " batch"],
        inputs: Int[Array, "batch time"],
        *,
        train: bool = False,
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each next token of the target.

        Args:
            source: ids of the source's tokens; what follows the first `source_length` is ignored.
            source_length: tokens of each source, at least 1.
            inputs: ids of the target's tokens, after a token that begins it.
            train: apply dropout.

        Returns:
            Logits of the token after each of `inputs`.

        Raises:
            UserError: a width that is odd, or that the heads do not divide.
        """
        memory, mask = self.encode(source, source_length, train=train)
        positions = jnp.arange(inputs.shape[1])[None]
        x = self._embed(self.embedding, inputs, positions, train=train)
        for layer, keys_values in zip(self.decoder, memory, strict=True):
            x, _ = layer(x, keys_values, mask[:, None, None], train=train)
        return self.embedding.attend(x)

    def encode(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, " batch"],
        *,
        train: bool = False,
    ) -> Memory:
        """Reads the source; returns what each layer of the decoder attends to, batch first."""
        positions = jnp.arange(source.shape[1])[None]
        mask = positions < source_length[:, None]
        embedding = self.embedding if self.source_vocabulary_size is None else self.source_embedding
        x = self._embed(embedding, source, positions, train=train)
        for layer in self.encoder:
            x = layer(x, mask[:, None, None], train=train)
        return tuple(layer.memory(x) for layer in self.decoder), mask

    def initial_carry(self, memory: Memory) -> Carry:
        """Returns caches for `max_length` tokens, with nothing in them."""
        keys_values, _ = memory
        batch, _, *head = keys_values[0].shape
        cache = jnp.zeros((batch, self.max_length, *head), keys_values[0].dtype)
        return (cache,) * self.num_layers, jnp.zeros((batch,), jnp.int32)

    def step(
        self, memory: Memory, carry: Carry, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], Carry, Float[Array, "batch source"]]:
        """Predicts the token after one more token.

        Args:
            memory: of `encode`.
            carry: of `initial_carry`, or of the step before; at most `max_length` steps.
            tokens: one id for each sequence.

        Returns:
            Logits of the next token, the carry, and the weights that the last layer gives to the
            source, the mean over its heads.
        """
        keys_values, mask = memory
        caches, position = carry
        x = self._embed(self.embedding, tokens[:, None], position[:, None])
        written = []
        for layer, cache, source in zip(self.decoder, caches, keys_values, strict=True):
            x, weights, cache = layer.step(x, cache, position, source, mask[:, None, None])
            written.append(cache)
        logits = self.embedding.attend(x)[:, 0]
        return logits, (tuple(written), position + 1), weights.mean(1)[:, 0]

    def _embed(self, embedding, tokens, positions, *, train=False):
        x = math.sqrt(self.width) * embedding(tokens)
        x += sinusoids(positions, self.width).astype(x.dtype)
        return self.drop(x, deterministic=not train)


PAPER = "Vaswani et al., 2017, https://arxiv.org/abs/1706.03762"
# A source, its length, and a target.
PAIR = (*tokens(64), jax.ShapeDtypeStruct((1,), jnp.int32), *tokens(64))


@register_model(example=PAIR, paper=PAPER, params=63_082_496)
def transformer_base(**overrides) -> Transformer:
    """The base of Table 3, with the 37,000 tokens of English and German.

    Example:
        >>> model = transformer_base(num_layers=1)
        >>> source, inputs = jnp.zeros((2, 5), int), jnp.ones((2, 4), int)
        >>> forward = lambda k: model.init_with_output(k, source, jnp.array([5, 3]), inputs)
        >>> logits, _ = jax.eval_shape(forward, jax.random.key(0))
        >>> logits.shape
        (2, 4, 37000)
    """
    return Transformer(**overrides)


@register_model(example=PAIR, paper=PAPER, params=214_245_376)
def transformer_big(**overrides) -> Transformer:
    """The Transformer of Table 3's last row: twice as wide, with three times the dropout.

    Example:
        >>> transformer_big().mlp_width
        4096
    """
    sizes = {"width": 1024, "num_heads": 16, "mlp_width": 4096, "dropout": 0.3}
    return Transformer(**{**sizes, **overrides})
