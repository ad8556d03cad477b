"""Sequence to sequence with attention in the loop: the network that learned to align."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.layers.initializers import orthogonal
from jdl.layers.recurrent import GRU
from jdl.models.registry import lengths, register_model, tokens
from jdl.ops.attention import additive_weights

Source = Int[Array, "batch source"]
Tokens = Int[Array, "batch time"]
Lengths = Int[Array, " batch"]
State = Float[Array, "batch hidden"]
Memory = dict[str, Any]


class Step(nn.Module):
    """A gated recurrent unit that looks at the source before each of its steps.

        a = softmax(vᵀ tanh(W_a s + U_a hⱼ)) over j,  c = Σⱼ aⱼ hⱼ                    (1)
        r, z = sigmoid(W e + U s + C c), each with weights of its own               (2)
        n = tanh(W e + U (r ⊙ s) + C c)                                             (3)
        s' = (1 − z) ⊙ n + z ⊙ s                                                    (4)

    with s the state before and e the embedding of the token before. The paper's z is 1 − z here.

    Attributes:
        hidden_size: numbers in s, and in the hidden layer of (1).
        dtype: of the products.
    """

    hidden_size: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, state: State, inputs: Float[Array, "batch gates"], memory: Memory
    ) -> tuple[State, tuple[State, Array, Array]]:
        """Reads one token.

        Args:
            state: s.
            inputs: W e with its biases, in the order r, z, n.
            memory: "outputs" h, "keys" U_a h, and "mask".

        Returns:
            s', and beside it s, c and a.
        """
        size = self.hidden_size

        def dense(features: int, name: str) -> nn.Dense:
            init = orthogonal if features == size else nn.initializers.lecun_normal()
            return nn.Dense(features, use_bias=False, dtype=self.dtype, name=name, kernel_init=init)

        direction = self.param("align", nn.initializers.normal(size**-0.5), (size,))
        query = dense(size, "query")(state)[:, None]
        mask = memory["mask"][:, None]
        weights = additive_weights(query, memory["keys"], direction, mask)[:, 0]  # (1)
        context = (weights[:, None].astype(query.dtype) @ memory["outputs"])[:, 0]
        x_r, x_z, x_n = jnp.split(inputs + dense(3 * size, "context")(context), 3, axis=-1)
        r = jax.nn.sigmoid(x_r + dense(size, "reset")(state))  # (2)
        z = jax.nn.sigmoid(x_z + dense(size, "update")(state))
        n = jnp.tanh(x_n + dense(size, "candidate")(r * state))  # (3)
        new = ((1 - z) * n + z * state).astype(state.dtype)  # (4)
        return new, (state, context, weights)


class AttentionSeq2Seq(nn.Module):
    """GRU encoder–decoder with additive attention (Bahdanau et al., 2015): RNNsearch.

        h₁, …, h_S = bidirectional GRU(x₁, …, x_S), its reset gate before the product   (5)
        s₀ = tanh(W_s ←h₁ + b), ←h₁ being what has read from the end                    (6)
        t = maxout(U_o s + V_o e + C_o c + b), of each pair the larger                  (7)
        p(yₜ | y₁ … yₜ₋₁, x) = softmax(W_o t + b_o)                                     (8)

    with s and c of `Step` and e the embedding of the token before (Appendix A.2).

    Intermediates: `memory`, and `attention` [batch, time, source].

    Attributes:
        source_vocabulary: number of different source tokens.
        target_vocabulary: number of different target tokens.
        embedding_size: numbers per token.
        hidden_size: numbers in each state.
        maxout_size: numbers in t.
        dropout: rate on embeddings and on t; the paper has none.
        dtype: of the products; parameters stay float32.
    """

    source_vocabulary: int = 30_000
    target_vocabulary: int = 30_000
    embedding_size: int = 620
    hidden_size: int = 1000
    maxout_size: int = 500
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        size, dtype = self.hidden_size, self.dtype
        self.source_embedding = nn.Embed(self.source_vocabulary, self.embedding_size, dtype=dtype)
        self.target_embedding = nn.Embed(self.target_vocabulary, self.embedding_size, dtype=dtype)
        self.encoder = GRU(size, bidirectional=True, second_bias=False, reset="before", dtype=dtype)
        self.keys = nn.Dense(size, use_bias=False, dtype=dtype)
        self.bridge = nn.Dense(size, dtype=dtype)
        self.inputs = nn.Dense(3 * size, dtype=dtype)
        # One step, compiled once, over all of the target.
        self.decoder = nn.scan(
            Step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast),
            out_axes=1,
        )(size, dtype)
        self.pairs = nn.Dense(2 * self.maxout_size, dtype=dtype)
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
        """Reads the source (5).

        Returns:
            "outputs" h, "keys" U_a h, "mask" of what is there, and "state", ←h₁.
        """
        x = self.drop(self.source_embedding(source), deterministic=not train)
        outputs, state = self.encoder(x, lengths=source_length)
        self.sow("intermediates", "memory", outputs)
        return {
            "outputs": outputs,
            "keys": self.keys(outputs),
            "mask": jnp.arange(source.shape[1])[None] < source_length[:, None],
            "state": state[:, 1],
        }

    def initial_carry(self, memory: Memory) -> State:
        """Returns the state before the first step (6)."""
        return jnp.tanh(self.bridge(memory["state"])).astype(jnp.float32)

    def step(
        self, memory: Memory, carry: State, tokens: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch vocabulary"], State, Float[Array, "batch source"]]:
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

    def _decode(self, memory: Memory, carry: State, inputs: Tokens, *, train: bool):
        y = self.drop(self.target_embedding(inputs), deterministic=not train)
        carry, (states, contexts, weights) = self.decoder(carry, self.inputs(y), memory)
        self.sow("intermediates", "attention", weights)
        pairs = self.pairs(jnp.concatenate([states.astype(y.dtype), y, contexts], axis=-1))
        t = pairs.reshape(*pairs.shape[:-1], self.maxout_size, 2).max(-1)  # (7)
        return self.output(self.drop(t, deterministic=not train)), carry, weights  # (8)


@register_model(
    example=tokens(16) + lengths() + tokens(16),
    paper="Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473",
    params=80_442_000,
)
def seq2seq_attention(**overrides) -> AttentionSeq2Seq:
    """RNNsearch: 1,000 hidden units on each side, 30,000 words in both languages.

    Example:
        >>> seq2seq_attention(hidden_size=8).maxout_size
        500
    """
    return AttentionSeq2Seq(**overrides)
