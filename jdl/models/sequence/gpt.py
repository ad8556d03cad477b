"""GPT: a Transformer decoder that predicts the next token."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from jdl.errors import UserError
from jdl.layers.dense import Dense
from jdl.models.registry import register_model, tokens
from jdl.ops.attention import masked_softmax

Sequences = Float[Array, "batch time width"]
Mask = Bool[Array, "#batch 1 time keys"]
# Keys and values of one layer; heads come before time, as the products want them.
Cache = tuple[Float[Array, "batch heads length size"], Float[Array, "batch heads length size"]]

kernel_init = nn.initializers.normal(0.02)


class CausalSelfAttention(nn.Module):
    """Self-attention in which no position sees a later one.

        [q, k, v] = x W_qkv + b_qkv, each cut into heads of d numbers               (1)
        y = softmax(q kᵀ / √d, over the positions up to the query's) v              (2)

    Intermediate: `weights`, the softmax, [batch, heads, time, keys].

    Attributes:
        num_heads: heads.
        dropout: rate, on the softmax.
        residual_init: initialiser of the kernel that writes into the residual stream.
        dtype: of the products; the softmax runs in float32.
    """

    num_heads: int
    dropout: float
    residual_init: nn.initializers.Initializer
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Sequences, mask: Mask, cache: Cache | None, start: Int[Array, ""], train: bool
    ) -> tuple[Sequences, Cache | None]:
        """Applies equations (1) and (2), and a dense layer over the heads.

        Args:
            x: the positions from `start` on.
            mask: where each of them may look: first in the cache, then at each other.
            cache: keys and values of the positions before, if there are any, and room for more.
            start: how many there are.
            train: apply dropout.

        Returns:
            The result, and the cache with the new keys and values written in.
        """
        batch, time, width = x.shape
        qkv = Dense(3 * width, kernel_init=kernel_init, dtype=self.dtype, name="c_attn")(x)
        heads = batch, time, self.num_heads, width // self.num_heads
        query, key, value = (
            part.reshape(heads).swapaxes(1, 2) for part in jnp.split(qkv, 3, axis=-1)
        )
        keys = [key] if cache is None else [cache[0], key]
        scores = [jnp.einsum("bhqd,bhkd->bhqk", query, part) for part in keys]
        root = math.sqrt(query.shape[-1])
        weights = masked_softmax(jnp.concatenate(scores, axis=-1) / root, mask)
        self.sow("intermediates", "weights", weights)
        weights = nn.Dropout(self.dropout, deterministic=not train)(weights.astype(value.dtype))
        x = weights[..., -time:] @ value
        if cache is not None:
            x = x + weights[..., :-time] @ cache[1]
            # XLA copies a cache that might be written before it is read. Zero times what was read
            # puts the two in order.
            write = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=2)
            cache = write(cache[0], key + 0 * x), write(cache[1], value + 0 * x)
        x = x.swapaxes(1, 2).reshape(batch, time, width)
        x = Dense(width, kernel_init=self.residual_init, dtype=self.dtype, name="c_proj")(x)
        return x, cache


class FeedForward(nn.Module):
    """Two dense layers with GELU (in its tanh form) in between, four times as wide.

    Attributes:
        residual_init: initialiser of the kernel that writes into the residual stream.
        dtype: of the products.
    """

    residual_init: nn.initializers.Initializer
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Sequences) -> Sequences:
        """Applies the two layers at each position."""
        width = x.shape[-1]
        x = Dense(4 * width, kernel_init=kernel_init, dtype=self.dtype, name="c_fc")(x)
        x = nn.gelu(x, approximate=True)
        return Dense(width, kernel_init=self.residual_init, dtype=self.dtype, name="c_proj")(x)


class Block(nn.Module):
    """One layer of the Transformer, normed before each part (GPT-2) or after its sum (GPT-1).

        GPT-2: x ← x + attention(norm₁(x));  x ← x + mlp(norm₂(x))                  (3)
        GPT-1: x ← norm₁(x + attention(x));  x ← norm₂(x + mlp(x))                  (4)

    Intermediate: `output`.

    Attributes:
        num_heads: attention heads.
        dropout: rate.
        post_norm: norm after the sums, as GPT-1.
        residual_init: initialiser of the kernels that write into the residual stream.
        dtype: of the products.
    """

    num_heads: int
    dropout: float
    post_norm: bool
    residual_init: nn.initializers.Initializer
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Sequences, mask: Mask, cache: Cache | None, start: Int[Array, ""], train: bool
    ) -> tuple[Sequences, Cache | None]:
        """Applies equation (3) or (4); arguments as of `CausalSelfAttention`."""
        norm_1, norm_2 = (
            nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name=f"ln_{i}") for i in (1, 2)
        )
        attention = CausalSelfAttention(
            self.num_heads, self.dropout, self.residual_init, self.dtype, name="attn"
        )
        mlp = FeedForward(self.residual_init, self.dtype, name="mlp")
        drop = nn.Dropout(self.dropout, deterministic=not train)

        y, cache = attention(x if self.post_norm else norm_1(x), mask, cache, start, train)
        x = x + drop(y)
        if self.post_norm:
            x = norm_1(x)
            x = norm_2(x + drop(mlp(x)))
        else:
            x = x + drop(mlp(norm_2(x)))
        self.sow("intermediates", "output", x)
        return x, cache


class GPT(nn.Module):
    """Decoder-only Transformer (Radford et al., 2018 and 2019; Brown et al., 2020).

    Learned positions are added to the tokens' embeddings, and the embedding's own matrix gives the
    logits. GPT-2 moved the norms in front of the parts that they had followed, added one before
    the logits, and made the kernels that write into the residual stream smaller by √(2 · layers).

    Layers carry the names of transformers' GPT2Model and OpenAIGPTModel. Intermediates: `embedded`,
    and of each layer `h.0.output` and `h.0.attn.weights`. A scanned network has one layer `h.*`,
    whose arrays are those of all layers stacked along the first axis; weights convert both ways.

    Attributes:
        vocabulary_size: number of different tokens.
        max_length: positions.
        width: numbers per position.
        num_layers: layers.
        num_heads: attention heads; they divide the width.
        dropout: rate on embeddings, attention and the two sums of each layer.
        post_norm: norm after the sums and none at the end, as GPT-1.
        scan: compile one layer and run it `num_layers` times.
        remat: keep only what goes into each layer, and compute the layer again for its gradient.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 50_257
    max_length: int = 1024
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    dropout: float = 0.1
    post_norm: bool = False
    scan: bool = False
    remat: bool = False
    dtype: DTypeLike | None = None

    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        mask: Bool[Array, "batch time"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each next token.

        Args:
            tokens: ids, from 0 to `vocabulary_size` − 1; at most `max_length` of them.
            mask: which tokens are text, to be looked at, and not padding; all when not given.
            train: apply dropout.

        Returns:
            Logits of the token after each of `tokens`.

        Raises:
            UserError: more tokens than positions, or a width that the heads do not divide.
        """
        _, time = tokens.shape
        past = jnp.tril(jnp.ones((time, time), bool))[None, None]
        if mask is not None:
            past = past & mask[:, None, None]
        return self._run(tokens, past, None, jnp.int32(0), train)[0]

    def initial_carry(self, batch_size: int, length: int | None = None) -> PyTree:
        """Returns the memory before any text, batch first.

        Args:
            batch_size: texts.
            length: tokens that there is room for; `max_length` when not given.

        Returns:
            How many tokens each text has had, and every layer's keys and values of them.

        Raises:
            UserError: more room than positions.

        Example:
            >>> position, layers = gpt2().initial_carry(4, length=32)
            >>> position.shape, len(layers), layers[0][0].shape
            ((4,), 12, (4, 12, 32, 64))
        """
        length = self.max_length if length is None else length
        self._check(length)
        room = jnp.zeros(
            (batch_size, self.num_heads, length, self.width // self.num_heads),
            self.dtype or jnp.float32,
        )
        if self.scan:
            room = jnp.stack([room] * self.num_layers, axis=1)
        layers = ((room, room),) * (1 if self.scan else self.num_layers)
        return jnp.zeros(batch_size, jnp.int32), layers

    def extend(
        self, carry: PyTree, tokens: Int[Array, "batch time"]
    ) -> tuple[Float[Array, "batch time vocabulary"], PyTree]:
        """Reads more of a text, with the keys and values of what came before at hand.

        Args:
            carry: after the text before; all texts of a batch have had equally many tokens.
            tokens: the next of them, as many as there is still room for.

        Returns:
            Logits of the token after each of `tokens`, and the carry after the last.
        """
        position, layers = carry
        start, time, length = position[0], tokens.shape[1], layers[0][0].shape[-2]
        self._check(time, length)
        past = jnp.broadcast_to(jnp.arange(length) < start, (time, length))
        mask = jnp.concatenate([past, jnp.tril(jnp.ones((time, time), bool))], axis=1)
        logits, layers = self._run(tokens, mask[None, None], layers, start, False)
        return logits, (position + time, layers)

    def _check(self, time: int, length: int | None = None) -> None:
        length = self.max_length if length is None else length
        if time > length:
            raise UserError(f"this GPT has {length} positions, not {time}")
        if self.width % self.num_heads:
            raise UserError(f"a width of {self.width} does not divide into {self.num_heads} heads")

    @nn.compact
    def _run(
        self,
        tokens: Int[Array, "batch time"],
        mask: Mask,
        caches: tuple | None,
        start: Int[Array, ""],
        train: bool,
    ) -> tuple[Float[Array, "batch time vocabulary"], tuple]:
        _, time = tokens.shape
        self._check(time)
        words, positions = ("tokens_embed", "positions_embed") if self.post_norm else ("wte", "wpe")
        embed = partial(nn.Embed, features=self.width, embedding_init=kernel_init, dtype=self.dtype)
        smaller = 1 if self.post_norm else math.sqrt(2 * self.num_layers)
        residual_init = nn.initializers.normal(0.02 / smaller)

        embedding = embed(self.vocabulary_size, name=words)
        places = (start + jnp.arange(time))[None]
        x = embedding(tokens) + embed(self.max_length, name=positions)(places)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        self.sow("intermediates", "embedded", x)

        layer, names = Block, [f"h.{i}" for i in range(self.num_layers)]
        if self.remat:
            layer = nn.remat(layer, prevent_cse=not self.scan, static_argnums=(5,))
        if self.scan:
            names = ["h.*"]
            layer = nn.scan(
                layer,
                variable_axes={"params": 0, "intermediates": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(nn.broadcast, 1, nn.broadcast, nn.broadcast),
                out_axes=1,
                length=self.num_layers,
            )
        new = []
        for name, cache in zip(names, caches or (None,) * len(names), strict=True):
            block = layer(
                self.num_heads, self.dropout, self.post_norm, residual_init, self.dtype, name=name
            )
            x, cache = block(x, mask, cache, start, train)
            new.append(cache)
        if not self.post_norm:
            x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="ln_f")(x)
        return embedding.attend(x), tuple(new)


PAPER_1 = "Radford et al., 2018, https://openai.com/index/language-unsupervised"
PAPER_2 = "Radford et al., 2019, https://openai.com/index/better-language-models"
PAPER_3 = "Brown et al., 2020, https://arxiv.org/abs/2005.14165"


@register_model(
    example=tokens(512), paper=PAPER_1, reference="transformers:openai-gpt", params=116_534_784
)
def gpt1(**overrides) -> GPT:
    """GPT of 2018: 12 layers of 768, norms after the sums.

    Example:
        >>> gpt1(num_layers=2).post_norm
        True
    """
    return GPT(**{"vocabulary_size": 40_478, "max_length": 512, "post_norm": True, **overrides})


@register_model(
    example=tokens(1024), paper=PAPER_2, reference="transformers:gpt2", params=124_439_808
)
def gpt2(**overrides) -> GPT:
    """The smallest GPT-2: 12 layers of 768.

    Example:
        >>> model, text = gpt2(num_layers=1, width=24), jnp.zeros((2, 8), int)
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), text))[0].shape
        (2, 8, 50257)
    """
    return GPT(**overrides)


@register_model(
    example=tokens(1024), paper=PAPER_2, reference="transformers:gpt2-medium", params=354_823_168
)
def gpt2_medium(**overrides) -> GPT:
    """The second GPT-2: 24 layers of 1,024.

    Example:
        >>> gpt2_medium().width
        1024
    """
    return GPT(**{"width": 1024, "num_layers": 24, "num_heads": 16, **overrides})


@register_model(
    example=tokens(1024), paper=PAPER_2, reference="transformers:gpt2-large", params=774_030_080
)
def gpt2_large(**overrides) -> GPT:
    """The third GPT-2: 36 layers of 1,280.

    Example:
        >>> gpt2_large().num_layers
        36
    """
    return GPT(**{"width": 1280, "num_layers": 36, "num_heads": 20, **overrides})


@register_model(
    example=tokens(1024), paper=PAPER_2, reference="transformers:gpt2-xl", params=1_557_611_200
)
def gpt2_xl(**overrides) -> GPT:
    """The largest GPT-2: 48 layers of 1,600.

    Example:
        >>> gpt2_xl().num_heads
        25
    """
    return GPT(**{"width": 1600, "num_layers": 48, "num_heads": 25, **overrides})


@register_model(example=tokens(2048), paper=PAPER_3, params=174_604_259_328)
def gpt3_175b(**overrides) -> GPT:
    """GPT-3: 96 layers of 12,288, to be counted rather than run.

    The paper's attention is banded and sparse in every other layer; here all are dense. That
    changes no parameter.

    Example:
        >>> gpt3_175b().max_length
        2048
    """
    sizes = {"max_length": 2048, "width": 12_288, "num_layers": 96, "num_heads": 96}
    return GPT(**{**sizes, **overrides})
