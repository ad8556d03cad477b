"""Words to guess: tokens that are hidden from a network that has to name them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jdl.ops.random import per_example_keys


class MaskedTokens(NamedTuple):
    """Texts with words to guess.

    Attributes:
        tokens: the texts as the network sees them.
        positions: of the words to guess; of too many, the rest have weight 0.
        targets: the words.
        weights: 1 for a word to guess, else 0.
    """

    tokens: Int[Array, "batch time"]
    positions: Int[Array, "batch guesses"]
    targets: Int[Array, "batch guesses"]
    weights: Float[Array, "batch guesses"]


def mask_tokens(
    key: Key[Array, ""],
    tokens: Int[Array, "batch time"],
    maskable: Bool[Array, "batch time"],
    rows: Int[Array, " batch"],
    *,
    mask_id: int,
    vocabulary_size: int,
    guesses: int,
    share: float = 0.15,
) -> MaskedTokens:
    """Chooses words of each text to be guessed, and hides most of them.

    Of the n maskable tokens of a text, max(1, round(0.15 n)) are chosen, at most `guesses`, all
    sets alike. Of each chosen token the network sees

        [MASK] with probability 0.8, any token with 0.1, the token itself with 0.1    (1)

    so that it must be ready to guess at every token that it sees, not at [MASK] only.

    Args:
        key: of the step.
        tokens: ids.
        maskable: false at padding and special tokens.
        rows: row numbers in the global batch: the draws are each row's own.
        mask_id: of [MASK].
        vocabulary_size: number of tokens, of which "any token" is one.
        guesses: places for words to guess, at least one.
        share: of the maskable tokens that are chosen.

    Returns:
        The texts and the guesses. A text with nothing maskable has no weight.

    Example:
        >>> tokens = jnp.arange(10, 30)[None]
        >>> masked = mask_tokens(
        ...     jax.random.key(0), tokens, tokens > 11, jnp.arange(1),
        ...     mask_id=4, vocabulary_size=30, guesses=5,
        ... )
        >>> masked.weights.tolist(), bool((masked.targets == masked.positions + 10).all())
        ([[1.0, 1.0, 1.0, 0.0, 0.0]], True)

    Source: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, section 3.1. There, texts are
    masked ten times before training; here, anew at each step.
    """

    def one(key, tokens, maskable):
        order_key, kind_key, word_key = jax.random.split(key, 3)
        # The chosen tokens are those of the largest numbers; what is not maskable has none.
        numbers = jnp.where(maskable, jax.random.uniform(order_key, tokens.shape), -1.0)
        _, positions = jax.lax.top_k(numbers, guesses)
        maskable_count = maskable.sum()
        wanted = jnp.maximum(1, jnp.round(share * maskable_count))
        chosen = jnp.arange(guesses) < jnp.minimum(wanted, maskable_count)
        targets = tokens[positions]
        kind = jax.random.uniform(kind_key, (guesses,))
        words = jax.random.randint(word_key, (guesses,), 0, vocabulary_size, tokens.dtype)
        seen = jnp.where(kind < 0.8, mask_id, jnp.where(kind < 0.9, words, targets))
        tokens = tokens.at[positions].set(jnp.where(chosen, seen, targets))
        return MaskedTokens(tokens, positions, targets, chosen.astype(jnp.float32))

    return jax.vmap(one)(per_example_keys(key, rows), tokens, maskable)


def most_frequent_next(
    texts: list[np.ndarray], vocabulary_size: int, mask_id: int
) -> Int[np.ndarray, " vocabulary"]:
    """Learns the simplest guess: the token that most often followed the one before.

    Args:
        texts: ids.
        vocabulary_size: number of tokens.
        mask_id: of [MASK], after which the most frequent token of all is guessed, as after
            tokens that nothing ever followed.

    Returns:
        A guess after each token.

    Example:
        >>> most_frequent_next([np.array([1, 2, 1, 2, 1, 3, 1, 1])], 5, mask_id=4).tolist()
        [1, 2, 1, 1, 1]

    Source: Shannon, 1948, https://doi.org/10.1002/j.1538-7305.1948.tb01338.x, section 3.
    """
    everything = np.concatenate(texts)
    table = np.full(vocabulary_size, np.bincount(everything).argmax())
    pairs = np.concatenate(
        [text[:-1].astype(np.int64) * vocabulary_size + text[1:] for text in texts]
    )
    pairs, counts = np.unique(pairs, return_counts=True)
    # Written in ascending order of frequency: the last one stays.
    order = np.argsort(counts, kind="stable")
    before, after = np.divmod(pairs[order], vocabulary_size)
    table[before] = after
    table[mask_id] = np.bincount(everything).argmax()
    return table.astype(np.int32)
