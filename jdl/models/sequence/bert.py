"""BERT: a Transformer encoder that reads a text in both directions at once."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from jdl.errors import UserError
from jdl.layers.dense import Dense
from jdl.models.registry import register_model, tokens
from jdl.ops.attention import dot_product_weights

Sequences = Float[Array, "batch time width"]
Tokens = Int[Array, "batch time"]
Mask = Bool[Array, "batch time"]

kernel_init = nn.initializers.truncated_normal(0.02)
# Every norm of BERT has this ε, every GELU is the exact one: transformers' form, and the weights'.
norm = partial(nn.LayerNorm, epsilon=1e-12)
gelu = partial(nn.gelu, approximate=False)


class SelfAttention(nn.Module):
    """Self-attention of every position to all that are no padding.

        q, k, v = x W_q + b_q, x W_k + b_k, x W_v + b_v, each cut into heads        (1)
        y = softmax(q kᵀ / √d, over the positions that the mask marks) v            (2)

    Intermediate: `weights`, the softmax, [batch, heads, time, time].

    Attributes:
        num_heads: heads.
        dropout: rate, on the softmax.
        dtype: of the products; the softmax runs in float32.
    """

    num_heads: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Sequences, mask: Mask, *, train: bool) -> Sequences:
        """Applies equations (1) and (2), and a dense layer over the heads."""
        dense = partial(Dense, x.shape[-1], kernel_init=kernel_init, dtype=self.dtype)
        heads = (*x.shape[:2], self.num_heads, -1)
        query, key, value = (
            dense(name=f"self.{part}")(x).reshape(heads) for part in ("query", "key", "value")
        )
        weights = dot_product_weights(query, key, mask[:, None, None])
        self.sow("intermediates", "weights", weights)
        weights = nn.Dropout(self.dropout, deterministic=not train)(weights.astype(value.dtype))
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
        return dense(name="output.dense")(y)


class Layer(nn.Module):
    """One layer: each of its parts is added to its input, and the sum is normed.

        x ← norm(x + attention(x));  x ← norm(x + W₂ GELU(W₁ x + b₁) + b₂)          (3)

    Intermediate: `output`.

    Attributes:
        num_heads: attention heads.
        dropout: rate, on the softmax and on what is added.
        dtype: of the products.
    """

    num_heads: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Sequences, mask: Mask, *, train: bool) -> Sequences:
        """Applies equation (3)."""
        width = x.shape[-1]
        dense = partial(Dense, kernel_init=kernel_init, dtype=self.dtype)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        attention = SelfAttention(self.num_heads, self.dropout, self.dtype, name="attention")
        x = x + drop(attention(x, mask, train=train))
        x = norm(dtype=self.dtype, name="attention.output.LayerNorm")(x)
        y = gelu(dense(4 * width, name="intermediate.dense")(x))
        x = x + drop(dense(width, name="output.dense")(y))
        x = norm(dtype=self.dtype, name="output.LayerNorm")(x)
        self.sow("intermediates", "output", x)
        return x


class Sizes(nn.Module):
    """What BERT and the networks around it are configured by.

    Attributes:
        vocabulary_size: number of different tokens.
        max_length: positions.
        width: numbers per position.
        num_layers: layers.
        num_heads: attention heads; they divide the width.
        dropout: rate on embeddings, attention and the two sums of each layer.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 30_522
    max_length: int = 512
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    dropout: float = 0.1
    dtype: DTypeLike | None = None

    def _bert(self) -> "BERT":
        return BERT(
            self.vocabulary_size,
            self.max_length,
            self.width,
            self.num_layers,
            self.num_heads,
            self.dropout,
            self.dtype,
            name="bert",
        )


class BERT(Sizes):
    """Bidirectional encoder (Devlin et al., 2019, https://arxiv.org/abs/1810.04805).

        x = norm(word + position + type),  through the layers (3)                   (4)
        pooled = tanh(W x_[CLS] + b)                                                (5)

    A text is `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`; types say which part a token belongs to.
    Layers carry the names of transformers' BertModel. Intermediates: `embedded`, and of each layer
    `encoder.layer.0.output` and `encoder.layer.0.attention.weights`.
    """

    def setup(self) -> None:
        """Builds the layers."""
        if self.width % self.num_heads:
            raise UserError(f"a width of {self.width} does not divide into {self.num_heads} heads")
        embed = partial(nn.Embed, features=self.width, embedding_init=kernel_init, dtype=self.dtype)
        self.words = embed(self.vocabulary_size, name="embeddings.word_embeddings")
        self.positions = embed(self.max_length, name="embeddings.position_embeddings")
        self.types = embed(2, name="embeddings.token_type_embeddings")
        self.norm = norm(dtype=self.dtype, name="embeddings.LayerNorm")
        self.drop = nn.Dropout(self.dropout)
        self.layers = [
            Layer(self.num_heads, self.dropout, self.dtype, name=f"encoder.layer.{i}")
            for i in range(self.num_layers)
        ]
        self.pooler = Dense(
            self.width, kernel_init=kernel_init, dtype=self.dtype, name="pooler.dense"
        )

    def __call__(
        self,
        tokens: Tokens,
        mask: Mask | None = None,
        token_types: Tokens | None = None,
        *,
        train: bool = False,
    ) -> tuple[Sequences, Float[Array, "batch width"]]:
        """Encodes texts.

        Args:
            tokens: ids, from 0 to `vocabulary_size` − 1; at most `max_length` of them.
            mask: false where there is padding; no padding when not given.
            token_types: 0 in the first part of a text, 1 in the second; 0 when not given.
            train: apply dropout.

        Returns:
            The states of the last layer; and the first position's, pooled (5).

        Raises:
            UserError: no tokens, or more than positions; heads that do not divide the width; an id
                out of range, unless `jit` hides the ids.
        """
        time = tokens.shape[1]
        if not 1 <= time <= self.max_length:
            raise UserError(f"this BERT reads 1 to {self.max_length} tokens, not {time}")
        mask = jnp.ones(tokens.shape, bool) if mask is None else mask
        token_types = jnp.zeros_like(tokens) if token_types is None else token_types
        _check(tokens, self.vocabulary_size, "token")
        _check(token_types, 2, "token type")
        x = self.words(tokens) + self.positions(jnp.arange(time)[None]) + self.types(token_types)
        x = self.drop(self.norm(x), deterministic=not train)
        self.sow("intermediates", "embedded", x)
        for layer in self.layers:
            x = layer(x, mask, train=train)
        return x, jnp.tanh(self.pooler(x[:, 0]))


class BERTForPreTraining(Sizes):
    """BERT, and what it is pretrained by: masked words, and whether B follows A.

        word logits = E norm(GELU(W x + b)) + b_E,  with E the words' embeddings    (6)
        sentence logits = W pooled + b: does B follow, does it not                  (7)

    Layers carry the names of transformers' BertForPreTraining.
    """

    @nn.compact
    def __call__(
        self,
        tokens: Tokens,
        mask: Mask | None = None,
        token_types: Tokens | None = None,
        positions: Int[Array, "batch predictions"] | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "batch predictions vocabulary"], Float[Array, "batch 2"]]:
        """Predicts words, and whether the second sentence follows.

        Args:
            tokens: as of BERT, which also says what is refused.
            mask: as of BERT.
            token_types: as of BERT.
            positions: where to predict words; everywhere when not given, which is dear: words are
                many.
            train: apply dropout.

        Returns:
            Logits (6) of the word at each of `positions`, and (7).
        """
        bert = self._bert()
        x, pooled = bert(tokens, mask, token_types, train=train)
        if positions is not None:
            x = jnp.take_along_axis(x, positions[:, :, None], axis=1)
        dense = partial(Dense, kernel_init=kernel_init, dtype=self.dtype)
        x = gelu(dense(self.width, name="cls.predictions.transform.dense")(x))
        x = norm(dtype=self.dtype, name="cls.predictions.transform.LayerNorm")(x)
        x = bert.words.attend(x)
        bias = self.param("cls.predictions.bias", nn.initializers.zeros, (x.shape[-1],))
        return x + bias.astype(x.dtype)[None, None], dense(2, name="cls.seq_relationship")(pooled)


class BERTForSequenceClassification(Sizes):
    """BERT, and a classifier of its pooled state.

        logits = W pooled + b                                                       (8)

    It takes tokens only: the token 0 is padding, and a text is of one part. Layers carry the names
    of transformers' BertForSequenceClassification.

    Attributes:
        num_classes: labels.
    """

    num_classes: int = 2

    @nn.compact
    def __call__(self, tokens: Tokens, *, train: bool = False) -> Float[Array, "batch classes"]:
        """Classifies texts.

        Args:
            tokens: as of BERT, which also says what is refused.
            train: apply dropout.

        Returns:
            Logits (8).
        """
        _, pooled = self._bert()(tokens, tokens != 0, train=train)
        pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        return Dense(
            self.num_classes, kernel_init=kernel_init, dtype=self.dtype, name="classifier"
        )(pooled)


def _check(ids: Array, count: int, kind: str) -> None:
    if isinstance(ids, jax.core.Tracer):
        return
    wrong = np.asarray(ids)
    wrong = wrong[(wrong < 0) | (wrong >= count)]
    if wrong.size:
        raise UserError(f"{kind} {wrong[0]} is out of range: there are {count}, from 0 on")


PAPER = "Devlin et al., 2019, https://arxiv.org/abs/1810.04805"
UNCASED = "transformers:bert-base-uncased"


@register_model(example=tokens(512), paper=PAPER, reference=UNCASED, params=109_482_240)
def bert_base(**overrides) -> BERT:
    """BERT-Base: 12 layers of 768, without the heads of its pretraining.

    Example:
        >>> model, text = bert_base(num_layers=1, width=24), jnp.zeros((2, 8), int)
        >>> states, pooled = jax.eval_shape(
        ...     lambda: model.init_with_output(jax.random.key(0), text)[0]
        ... )
        >>> states.shape, pooled.shape
        ((2, 8, 24), (2, 24))
    """
    return BERT(**overrides)


@register_model(
    example=tokens(512),
    paper=PAPER,
    reference="transformers:bert-large-uncased",
    params=335_141_888,
)
def bert_large(**overrides) -> BERT:
    """BERT-Large: 24 layers of 1,024.

    Example:
        >>> bert_large().num_heads
        16
    """
    return BERT(**{"width": 1024, "num_layers": 24, "num_heads": 16, **overrides})


@register_model(example=tokens(512), paper=PAPER, reference=UNCASED, params=110_106_428)
def bert_base_pretraining(**overrides) -> BERTForPreTraining:
    """BERT-Base with the heads of its pretraining: masked words, next sentence.

    Example:
        >>> model, text = bert_base_pretraining(num_layers=1, width=24), jnp.zeros((2, 8), int)
        >>> words, follows = jax.eval_shape(
        ...     lambda: model.init_with_output(jax.random.key(0), text)[0]
        ... )
        >>> words.shape, follows.shape
        ((2, 8, 30522), (2, 2))
    """
    return BERTForPreTraining(**overrides)


@register_model(example=tokens(512), paper=PAPER, reference=UNCASED, params=109_483_778)
def bert_base_classifier(num_classes: int = 2, **overrides) -> BERTForSequenceClassification:
    """BERT-Base with a classifier of texts, for fine-tuning.

    Example:
        >>> bert_base_classifier(num_classes=5).num_classes
        5
    """
    return BERTForSequenceClassification(num_classes=num_classes, **overrides)


@register_model(
    example=tokens(512),
    paper="Wang et al., 2020, https://arxiv.org/abs/2002.10957",
    reference="transformers:sentence-transformers/all-MiniLM-L6-v2",
    params=22_713_216,
)
def minilm_l6(**overrides) -> BERT:
    """MiniLM of 6 layers of 384: distilled from a larger BERT, tuned to compare sentences.

    Example:
        >>> minilm_l6().num_layers
        6
    """
    return BERT(**{"width": 384, "num_layers": 6, **overrides})
