"""Which parameters weight decay shrinks: masks for optax."""

import jax
from jaxtyping import PyTree


def kernels(params: PyTree) -> PyTree:
    """Marks the kernels of convolutions and dense layers, and nothing else.

    Args:
        params: of a Linen module.

    Returns:
        A tree of booleans, the `mask` of `optax.add_decayed_weights` and `optax.adamw`.

    Example:
        >>> kernels({"conv": {"kernel": 0.0, "bias": 0.0}, "norm": {"scale": 0.0}})
        {'conv': {'bias': False, 'kernel': True}, 'norm': {'scale': False}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def all_but_norms(params: PyTree) -> PyTree:
    """Marks everything but the scales and biases of normalisations.

    Args:
        params: of a Linen module, whose normalisations are the layers that have a scale.

    Returns:
        A tree of booleans, as of `kernels`.

    Example:
        >>> all_but_norms({"conv": {"bias": 0.0}, "norm": {"scale": 0.0, "bias": 0.0}})
        {'conv': {'bias': True}, 'norm': {'bias': False, 'scale': False}}
    """
    if isinstance(params, dict):
        if "scale" in params:
            return jax.tree.map(lambda _: False, params)
        return {name: all_but_norms(part) for name, part in params.items()}
    return True


def kernels_and_embeddings(params: PyTree) -> PyTree:
    """Marks everything but biases and the scales of normalisations, as BERT and GPT do.

    Args:
        params: of a Linen module.

    Returns:
        A tree of booleans, as of `kernels`.

    Example:
        >>> kernels_and_embeddings({"word": {"embedding": 0.0}, "norm": {"scale": 0.0}})
        {'norm': {'scale': False}, 'word': {'embedding': True}}
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: not path[-1].key.endswith(("bias", "scale")), params
    )
