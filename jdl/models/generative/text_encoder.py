"""A small Transformer that makes one vector of a sentence, for a network that draws it."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.models.sequence.transformer import EncoderLayer
from jdl.ops.positions import sinusoids


class TextEncoder(nn.Module):
    """The encoder of the Transformer, and the mean over the words that are there.

        x = √d · embed(token) + PE(position), through the layers                    (1)
        y = Σᵢ mᵢ xᵢ / max(1, Σᵢ mᵢ),  mᵢ = 0 where the token is 0                  (2)

    A sentence of no words gives zero. Layers carry the names of `torch.nn.Transformer`.

    Attributes:
        vocabulary_size: number of different tokens; 0 is padding.
        width: d, numbers per token; even.
        num_layers: layers.
        num_heads: attention heads; they divide the width.
        dropout: rate.
        dtype: of the products; parameters stay float32.

    Example:
        >>> import jax
        >>> encoder = TextEncoder(vocabulary_size=20)
        >>> forward = lambda tokens: encoder.init_with_output(jax.random.key(0), tokens)[0]
        >>> jax.eval_shape(forward, jnp.zeros((2, 7), int)).shape
        (2, 128)

    Source: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; as a condition of diffusion
    Nichol et al., 2022, https://arxiv.org/abs/2112.10741, section 3, where the last token's vector
    takes the place of a class's.
    """

    vocabulary_size: int
    width: int = 128
    num_layers: int = 2
    num_heads: int = 4
    dropout: float = 0.1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "batch words"], *, train: bool = False
    ) -> Float[Array, "batch width"]:
        """Applies equations (1) and (2).

        Args:
            tokens: ids, padded with 0.
            train: apply dropout.

        Returns:
            y.
        """
        there = tokens != 0
        init = nn.initializers.normal(self.width**-0.5)
        embed = nn.Embed(
            self.vocabulary_size,
            self.width,
            embedding_init=init,
            dtype=self.dtype,
            name="embedding",
        )
        x = math.sqrt(self.width) * embed(tokens)
        x += sinusoids(jnp.arange(tokens.shape[1])[None], self.width).astype(x.dtype)
        for i in range(self.num_layers):
            layer = EncoderLayer(
                self.width, self.num_heads, 4 * self.width, self.dropout, self.dtype,
                name=f"encoder.layers.{i}",
            )  # fmt: skip
            x = layer(x, there[:, None, None], train=train)
        count = jnp.maximum(there.sum(1), 1)[:, None]
        return jnp.where(there[..., None], x, 0).sum(1) / count
