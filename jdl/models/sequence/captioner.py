"""Captioning: a convolutional network sees, an LSTM writes what it saw."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.recurrent import LSTM
from jdl.models.registry import image, lengths, register_model, tokens
from jdl.ops.attention import additive_weights

Images = Float[Array, "batch height width channels"]
Tokens = Int[Array, "batch time"]
Lengths = Int[Array, " batch"]
Memory = dict[str, Any]

SIZE = 64  # pixels, as digit_scenes has
SIDE = SIZE // 8  # regions in a row of the grid


class Encoder(nn.Module):
    """A small convolutional network, down to an eighth of a picture's height and width.

    It stands for the GoogLeNet and the VGG of the papers, which had learned ImageNet before.

    Intermediate: `grid`.

    Attributes:
        features: channels of its four convolutions.
        dtype: of the products.
    """

    features: Sequence[int]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch rows columns features"]:
        """Returns a grid of what is seen where."""
        if images.shape[1:] != (SIZE, SIZE, 3):
            shape = "x".join(map(str, images.shape[1:]))
            raise UserError(f"captioners here take images of {SIZE}x{SIZE}x3, not {shape}")
        x = images
        for i, features in enumerate(self.features):
            size, stride = (5, 2) if i == 0 else (3, 1)
            x = Conv(features, (size, size), stride, "SAME", dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(nn.GroupNorm(8, dtype=self.dtype, name=f"norm{i}")(x))
            if i in (1, 2):
                x = nn.max_pool(x, (2, 2), (2, 2))
        self.sow("intermediates", "grid", x)
        return x


class Captioner(nn.Module):
    """Show and Tell (Vinyals et al., 2015): the LSTM reads the picture like a first word.

        x₋₁ = W [all of the grid] + b,  xₜ = E yₜ                                   (1)
        p(yₜ₊₁ | y₁ … yₜ, picture) = softmax(W_o LSTM(xₜ) + b_o)                    (2)

    Attributes:
        vocabulary_size: number of different words, the end's included.
        embedding_size: numbers per word.
        hidden_size: numbers in the LSTM's state.
        features: channels of the encoder's stages.
        dropout: rate on embeddings and on the LSTM's output.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 28
    embedding_size: int = 512
    hidden_size: int = 512
    features: Sequence[int] = (32, 64, 128, 128)
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        self.encoder = Encoder(self.features, self.dtype)
        self.picture = nn.Dense(self.embedding_size, dtype=self.dtype)
        self.words = nn.Embed(self.vocabulary_size, self.embedding_size, dtype=self.dtype)
        self.decoder = LSTM(self.hidden_size, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.vocabulary_size, dtype=self.dtype)

    def __call__(
        self, images: Images, regions: Lengths, inputs: Tokens, *, train: bool = False
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each word from the picture and the words before it.

        Args:
            images: from 0 to 1.
            regions: how much of the source is there, as every model that transduces is told; of
                a picture it is all, and this is not read.
            inputs: the sentence, one step late: the token to begin after comes first.
            train: apply dropout.

        Returns:
            Logits of the word after each of `inputs`.
        """
        memory = self.encode(images, regions)
        return self._decode(self.initial_carry(memory), inputs, train=train)[0]

    def encode(self, images: Images, regions: Lengths, *, train: bool = False) -> Memory:
        """Sees: returns "state", the LSTM's after the picture (1)."""
        grid = self.encoder(images)
        x = self.picture(grid.reshape(len(grid), -1))
        _, state = self.decoder(self.drop(x, deterministic=not train)[:, None])
        return {"state": state}

    def initial_carry(self, memory: Memory) -> PyTree:
        """Returns what the LSTM remembers before the first word."""
        return memory["state"]

    def step(
        self, memory: Memory, carry: PyTree, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], PyTree, None]:
        """Predicts one more word.

        Args:
            memory: what `encode` returned.
            carry: what the step before returned, or `initial_carry`.
            tokens: the word before.

        Returns:
            Logits, the next carry, and None: it does not look again.
        """
        logits, carry = self._decode(carry, tokens[:, None], train=False)
        return logits[:, 0], carry, None

    def _decode(self, carry: PyTree, inputs: Tokens, *, train: bool):
        y = self.drop(self.words(inputs), deterministic=not train)
        h, carry = self.decoder(y, carry)
        return self.output(self.drop(h, deterministic=not train)), carry


class Step(nn.Module):
    """One step of an LSTM that looks before it reads.

        a = softmax over regions i of vᵀ tanh(W_h h + U g_i)                        (3)
        z = σ(w_βᵀ h + b_β) Σᵢ aᵢ gᵢ                                                (4)
        [i, f, o, n] = W e + W_z z + W_r h + b,  c' = σ(f) c + σ(i) tanh(n)         (5)
        h' = σ(o) tanh(c')                                                          (6)

    Attributes:
        hidden_size: numbers in h, and in the hidden layer of (3).
        dtype: of the products; c is kept in float32.
    """

    hidden_size: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Array], inputs: Float[Array, "batch gates"], memory: Memory
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        """Reads one word: `inputs` is W e + b. Beside h' and c' it returns h', z and a."""
        h, c = carry
        size = self.hidden_size
        direction = self.param("align", nn.initializers.normal(size**-0.5), (size,))
        query = nn.Dense(size, use_bias=False, dtype=self.dtype, name="query")(h)[:, None]
        a = additive_weights(query, memory["keys"], direction)[:, 0]  # (3)
        context = (a[:, None].astype(query.dtype) @ memory["grid"])[:, 0]
        z = nn.sigmoid(nn.Dense(1, dtype=self.dtype, name="gate")(h)) * context  # (4)
        gates = inputs + nn.Dense(4 * size, use_bias=False, dtype=self.dtype, name="context")(z)
        gates += nn.Dense(4 * size, use_bias=False, dtype=self.dtype, name="recurrent")(h)
        i, f, o, n = jnp.split(gates.astype(jnp.float32), 4, axis=-1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(n)  # (5)
        h = nn.sigmoid(o) * jnp.tanh(c)  # (6)
        return (h, c), (h, z, a)


class AttentionCaptioner(nn.Module):
    """Show, Attend and Tell (Xu et al., 2015), with soft attention: it looks before every word.

        g₁, …, g_L = the grid's regions                                             (7)
        h₀ = tanh(W g̅ + b),  c₀ = tanh(W' g̅ + b'),  g̅ = Σᵢ gᵢ / L                   (8)
        p(yₜ | y₁ … yₜ₋₁, picture) = softmax(L_o (E yₜ₋₁ + L_h hₜ + L_z zₜ))         (9)

    with h and z of `Step`. What each region is like says nothing of where it is; here, where the
    encoder has not learned ImageNet, a learned place is added to each.

    Intermediates: `attention` [batch, time, regions]. The paper's second term of the loss, which
    has every region looked at equally often, is left out.

    Attributes:
        vocabulary_size: number of different words, the end's included.
        embedding_size: numbers per word.
        hidden_size: numbers in h and in c.
        features: channels of the encoder's stages.
        dropout: rate on embeddings and before (9)'s last product.
        dtype: of the products; parameters stay float32.
    """

    vocabulary_size: int = 28
    embedding_size: int = 512
    hidden_size: int = 512
    features: Sequence[int] = (32, 64, 128, 128)
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        dtype = self.dtype
        self.encoder = Encoder(self.features, dtype)
        self.place = self.param(
            "place", nn.initializers.normal(0.1), (SIDE * SIDE, self.features[-1])
        )
        self.keys = nn.Dense(self.hidden_size, dtype=dtype)
        self.first_hidden = nn.Dense(self.hidden_size, dtype=dtype)
        self.first_cell = nn.Dense(self.hidden_size, dtype=dtype)
        self.words = nn.Embed(self.vocabulary_size, self.embedding_size, dtype=dtype)
        self.inputs = nn.Dense(4 * self.hidden_size, dtype=dtype)
        self.decoder = nn.scan(
            Step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast),
            out_axes=1,
        )(self.hidden_size, dtype)
        self.hidden_to_word = nn.Dense(self.embedding_size, use_bias=False, dtype=dtype)
        self.context_to_word = nn.Dense(self.embedding_size, use_bias=False, dtype=dtype)
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.vocabulary_size, dtype=dtype)

    def __call__(
        self, images: Images, regions: Lengths, inputs: Tokens, *, train: bool = False
    ) -> Float[Array, "batch time vocabulary"]:
        """Predicts each word from the picture and the words before it.

        Args:
            images: from 0 to 1, 64 by 64.
            regions: as of `Captioner`.
            inputs: the sentence, one step late: the token to begin after comes first.
            train: apply dropout.

        Returns:
            Logits of the word after each of `inputs`.
        """
        memory = self.encode(images, regions)
        return self._decode(memory, self.initial_carry(memory), inputs, train=train)[0]

    def encode(self, images: Images, regions: Lengths, *, train: bool = False) -> Memory:
        """Sees: returns the "grid" g (7) and its "keys" U g."""
        grid = self.encoder(images)
        grid = grid.reshape(len(grid), -1, grid.shape[-1])
        grid = grid + self.place.astype(grid.dtype)[None]
        return {"grid": grid, "keys": self.keys(grid)}

    def initial_carry(self, memory: Memory) -> tuple[Array, Array]:
        """Returns h₀ and c₀ (8)."""
        mean = memory["grid"].mean(1)
        first = jnp.tanh(self.first_hidden(mean)), jnp.tanh(self.first_cell(mean))
        return jax.tree.map(lambda x: x.astype(jnp.float32), first)

    def step(
        self, memory: Memory, carry: PyTree, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], PyTree, Float[Array, "batch regions"]]:
        """Predicts one more word.

        Args:
            memory: what `encode` returned.
            carry: what the step before returned, or `initial_carry`.
            tokens: the word before.

        Returns:
            Logits, the next carry, and where it looked: a of (3).
        """
        logits, carry, weights = self._decode(memory, carry, tokens[:, None], train=False)
        return logits[:, 0], carry, weights[:, 0]

    def _decode(self, memory: Memory, carry: PyTree, inputs: Tokens, *, train: bool):
        y = self.drop(self.words(inputs), deterministic=not train)
        carry, (h, z, weights) = self.decoder(carry, self.inputs(y), memory)
        self.sow("intermediates", "attention", weights)
        word = y + self.hidden_to_word(h) + self.context_to_word(z)
        return self.output(self.drop(word, deterministic=not train)), carry, weights  # (9)


EXAMPLE = image(SIZE, SIZE, 3) + lengths() + tokens(21)


@register_model(
    example=EXAMPLE, paper="Vinyals et al., 2015, https://arxiv.org/abs/1411.4555", params=6_567_836
)
def captioner(**overrides) -> Captioner:
    """Show and Tell with the paper's LSTM and a small encoder, for pictures of 64 pixels.

    Example:
        >>> captioner().hidden_size
        512
    """
    return Captioner(**overrides)


@register_model(
    example=EXAMPLE, paper="Xu et al., 2015, https://arxiv.org/abs/1502.03044", params=3_430_301
)
def captioner_attention(**overrides) -> AttentionCaptioner:
    """Show, Attend and Tell with soft attention and a small encoder, for pictures of 64 pixels.

    Example:
        >>> captioner_attention(features=(8, 16, 16, 16)).features[-1]
        16
    """
    return AttentionCaptioner(**overrides)
