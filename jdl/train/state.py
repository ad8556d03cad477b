"""What a network and its optimiser carry from step to step."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
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

    def apply(
        self, gradients: PyTree, optimizer: optax.GradientTransformation, **told: Any
    ) -> "TrainState":
        """Moves the parameters by one update of the optimiser.

        Args:
            gradients: a pytree like `params`.
            optimizer: the transformation that `create` was given.
            told: what some optimisers are told beside, as `value`, the loss.

        Returns:
            The next state; `model_state` is left as it is.
        """
        optimizer = optax.with_extra_args_support(optimizer)
        updates, optimizer_state = optimizer.update(
            gradients, self.optimizer_state, self.params, **told
        )
        return self.replace(
            params=optax.apply_updates(self.params, updates), optimizer_state=optimizer_state
        )


class AveragedState(TrainState):
    """A `TrainState`, and an average of the variables on their way, which is what is measured.

        θ̄ ← d θ̄ + (1 − d) θ,  d = min(ε, (1 + n)/(10 + n)) at update n              (1)

    of the parameters and of BatchNorm's statistics, which belong to them.

    Example:
        >>> import flax.linen as nn
        >>> variables = nn.Dense(1).init(jax.random.key(0), jnp.zeros((1, 1)))
        >>> state = AveragedState.create(variables, optax.sgd(0.1))
        >>> gradients = jax.tree.map(jnp.ones_like, state.params)
        >>> state = state.apply(gradients, optax.sgd(0.1)).averaged(0.999)
        >>> state.average["params"]["bias"].round(3)  # a tenth of the way was kept
        Array([-0.09], dtype=float32)

    Source: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046; (1) is TensorFlow's
    `ExponentialMovingAverage`.
    """

    average: PyTree
    step: PyTree

    @classmethod
    def create(
        cls, variables: dict[str, Any] | FrozenDict, optimizer: optax.GradientTransformation
    ) -> "AveragedState":
        """Takes the variables that `model.init` returns; they are their own first average."""
        state = TrainState.create(variables, optimizer)
        return cls(
            params=state.params,
            model_state=state.model_state,
            optimizer_state=state.optimizer_state,
            # A copy of its own: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, state.variables),
            step=jnp.int32(0),
        )

    def averaged(self, decay: float) -> "AveragedState":
        """Moves the average towards the variables (1), once an update.

        Args:
            decay: ε.
        """
        share = 1 - jnp.minimum(decay, (1 + self.step) / (10 + self.step))
        average = optax.incremental_update(self.variables, self.average, share)
        return self.replace(average=average, step=self.step + 1)


def count_parameters(state: PyTree) -> int:
    """Counts what is trained, in all the networks of a task's state.

    Args:
        state: any pytree with `TrainState`s in it.

    Example:
        >>> network = TrainState.create({"params": jnp.zeros((3, 2))}, optax.sgd(0.1))
        >>> count_parameters({"generator": network, "discriminator": network})
        12
    """
    networks = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, TrainState))
    networks = [network for network in networks if isinstance(network, TrainState)]
    return sum(leaf.size for network in networks for leaf in jax.tree.leaves(network.params))
