"""Muon for networks whose weights are convolution kernels as well as matrices."""

from functools import partial

import jax
import optax
from jaxtyping import PyTree
from optax.contrib import MuonDimensionNumbers
from optax.contrib import muon as optax_muon


def muon(
    learning_rate: optax.ScalarOrSchedule,
    adam_learning_rate: optax.ScalarOrSchedule,
    momentum: float = 0.95,
    adam_b2: float = 0.99,
    weight_decay: float = 0.0,
    embeddings: bool = True,
) -> optax.GradientTransformation:
    """Steps along orthogonalised momentum; vectors, such as biases and scales, go by Adam.

        M ← β M + (1 − β) ∇L,  M = U Σ Vᵀ                                           (1)
        W ← W − η (√max(1, columns / rows) · U Vᵀ + λ W)                            (2)

    with U Vᵀ by five Newton–Schulz iterations and Nesterov's momentum. `optax.contrib.muon` does
    this for matrices; here a kernel [height, width, in, out] is the matrix [height·width·in, out]
    that it is multiplied as.

    Args:
        learning_rate: η, about ten times Adam's.
        adam_learning_rate: for the vectors.
        momentum: β.
        adam_b2: Adam's second moment's share that is kept.
        weight_decay: λ; vectors do not decay.
        embeddings: step as matrices, by Muon; otherwise as the vectors that they are rows of.

    Returns:
        The transformation.

    Example:
        >>> import jax.numpy as jnp
        >>> kernel, bias = jnp.zeros((3, 3, 4, 8)), jnp.zeros(8)
        >>> optimizer = muon(0.1, 0.01)
        >>> state = optimizer.init((kernel, bias))
        >>> gradient = jax.random.normal(jax.random.key(0), kernel.shape)
        >>> update, _ = optimizer.update((gradient, bias), state, (kernel, bias))
        >>> singular = jnp.linalg.svd(update[0].reshape(-1, 8), compute_uv=False) / 0.1
        >>> bool(((0.6 < singular) & (singular < 1.3)).all())
        True

    Source: Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/; kernels as matrices,
    there under "Empirical considerations".
    """
    return optax_muon(
        learning_rate,
        beta=momentum,
        weight_decay=weight_decay,
        adam_b2=adam_b2,
        adam_learning_rate=adam_learning_rate,
        muon_weight_dimension_numbers=partial(_matrices, embeddings),
    )


def _matrices(embeddings: bool, params: PyTree) -> PyTree:
    """Says of each parameter which axes are a matrix's rows and columns; None of a vector."""

    def axes(path: tuple, leaf: jax.Array) -> MuonDimensionNumbers | None:
        embedding = jax.tree_util.keystr(path[-1:], simple=True) == "embedding"
        if leaf.ndim < 2 or (embedding and not embeddings):
            return None
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)
