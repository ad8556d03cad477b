"""What a network and its optimiser carry from step to step."""

from typing import Any

import flax.struct
import jax
import optax
from flax.core import FrozenDict
from jaxtyping import PyTree

# What accompanies the parameters without being one: BatchNorm's statistics, and what modules sow
# for whoever looks. The latter is never carried.
NOT_CARRIED = ("params", "intermediates")


class TrainState(flax.struct.PyTreeNode):
    """Parameters, the other variables of a model, and an optimiser's state, in one pytree.

    Example:
        >>> import jax, jax.numpy as jnp, flax.linen as nn, optax
        >>> variables = nn.Dense(2).init(jax.random.key(0), jnp.zeros((1, 3)))
        >>> state = TrainState.create(variables, optax.sgd(0.1))
        >>> gradients = jax.tree.map(jnp.ones_like, state.params)
        >>> state = state.apply(gradients, optax.sgd(0.1))
        >>> state.params["bias"]
        Array([-0.1, -0.1], dtype=float32)
    """

    params: PyTree
    model_state: PyTree
    optimizer_state: PyTree

    @classmethod
    def create(
        cls, variables: dict[str, Any] | FrozenDict, optimizer: optax.GradientTransformation
    ) -> "TrainState":
        """Takes the variables that `model.init` returns and initialises the optimiser on them.

        Args:
            variables: collections by name; "params" is the one that is trained.
            optimizer: an optax transformation.

        Returns:
            The state before the first step.
        """
        others = {name: value for name, value in variables.items() if name not in NOT_CARRIED}
        params = variables["params"]
        return cls(params=params, model_state=others, optimizer_state=optimizer.init(params))

    @property
    def variables(self) -> dict[str, PyTree]:
        """The collections that `model.apply` takes."""
        return {"params": self.params, **self.model_state}

    def apply(self, gradients: PyTree, optimizer: optax.GradientTransformation) -> "TrainState":
        """Moves the parameters by one update of the optimiser.

        Args:
            gradients: a pytree like `params`.
            optimizer: the transformation that `create` was given.

        Returns:
            The next state; `model_state` is left as it is.
        """
        updates, optimizer_state = optimizer.update(gradients, self.optimizer_state, self.params)
        return self.replace(
            params=optax.apply_updates(self.params, updates), optimizer_state=optimizer_state
        )


def count_parameters(state: PyTree) -> int:
    """Counts what is trained, in all the networks of a task's state.

    Args:
        state: any pytree with `TrainState`s in it.

    Example:
        >>> import jax.numpy as jnp
        >>> network = TrainState.create({"params": jnp.zeros((3, 2))}, optax.sgd(0.1))
        >>> count_parameters({"generator": network, "discriminator": network})
        12
    """
    networks = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, TrainState))
    networks = [network for network in networks if isinstance(network, TrainState)]
    return sum(leaf.size for network in networks for leaf in jax.tree.leaves(network.params))
