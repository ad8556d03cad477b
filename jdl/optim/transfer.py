"""Which layers go on learning, and how fast: for networks that come with weights."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import jax
import optax
from jaxtyping import PyTree

from jdl.errors import UserError, nearest


def freeze(
    optimizer: optax.GradientTransformation, *patterns: str
) -> optax.GradientTransformationExtraArgs:
    """Trains all parameters but those whose names match.

    A frozen parameter has no moments and no decay either, and does not count in a norm that the
    optimiser clips. Statistics of BatchNorm are no parameters: they still follow the data.

    Args:
        optimizer: of the rest.
        patterns: of names of parameters or of modules, with shell wildcards: "layer1" is all of
            it, "*.bias" every bias. Names are those of `layer_names`.

    Returns:
        An optax transformation.

    Raises:
        UserError: in `init`, a pattern that matches nothing, or patterns that leave nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"conv": {"kernel": jnp.ones(1)}, "head": {"kernel": jnp.ones(1)}}
        >>> optimizer = freeze(optax.sgd(0.5), "conv")
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> updates["conv"]["kernel"], updates["head"]["kernel"]
        (Array([0.], dtype=float32), Array([-0.5], dtype=float32))

    Source: Yosinski et al., 2014, https://arxiv.org/abs/1411.1792.
    """

    def labels(params: PyTree) -> PyTree:
        chosen = _first_match(params, patterns)
        if None not in chosen:
            raise UserError(f"{', '.join(patterns)} freeze every parameter: nothing is trained")
        named = ["trained" if pattern is None else "frozen" for pattern in chosen]
        return jax.tree.unflatten(jax.tree.structure(params), named)

    return optax.partition({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)


def layerwise_rates(rates: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies the updates of layers: the nearer to the input, the less they should change.

        Δθₗ ← rₗ Δθₗ                                                                (1)

    Put it last in an `optax.chain`.

    Args:
        rates: r by pattern, as of `freeze`; the first that matches counts, and 1 where none does.

    Returns:
        A stateless transformation.

    Raises:
        UserError: in `init`, a pattern that matches nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"conv": {"kernel": jnp.ones(1)}, "head": {"kernel": jnp.ones(1)}}
        >>> optimizer = optax.chain(optax.sgd(1.0), layerwise_rates({"conv": 0.1}))
        >>> updates, _ = optimizer.update(params, optimizer.init(params))
        >>> updates["conv"]["kernel"], updates["head"]["kernel"]
        (Array([-0.1], dtype=float32), Array([-1.], dtype=float32))

    Source: Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146, section 3.2.
    """

    def init(params: PyTree) -> optax.EmptyState:
        _first_match(params, rates)
        return optax.EmptyState()

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None):
        leaves, tree = jax.tree.flatten(updates)
        scaled = [
            leaf if pattern is None else rates[pattern] * leaf
            for leaf, pattern in zip(leaves, _first_match(updates, rates))
        ]
        return jax.tree.unflatten(tree, scaled), state

    return optax.GradientTransformation(init, update)


def layer_names(params: PyTree) -> list[str]:
    """Names every parameter by its path, as reference checkpoints do.

    Args:
        params: of a Linen module.

    Returns:
        A name for each leaf, in the order of `jax.tree.leaves`.

    Example:
        >>> layer_names({"layer1.0": {"conv1": {"kernel": 0.0}}})
        ['layer1.0.conv1.kernel']
    """
    return [
        ".".join(str(getattr(key, "key", key)) for key in path)
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]


def _first_match(params: PyTree, patterns: Mapping[str, float] | tuple[str, ...]):
    """Returns, for each parameter, the first pattern that matches it or a module it is in."""
    names = layer_names(params)

    def matches(name: str, pattern: str) -> bool:
        parts = name.split(".")
        return any(fnmatchcase(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))

    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise UserError(
                f"no parameter is named like {pattern!r}; the closest names are "
                f"{', '.join(nearest(pattern, names))}"
            )
    return [next((p for p in patterns if matches(name, p)), None) for name in names]
