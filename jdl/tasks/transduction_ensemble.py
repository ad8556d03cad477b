"""Transduction by several networks that differ in their first weights and write together."""

import dataclasses
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jdl.tasks.transduction import Transduction
from jdl.train.metrics import Metrics
from jdl.train.state import AveragedState
from jdl.train.task import Batch


@dataclasses.dataclass(frozen=True, eq=False)
class TransductionEnsemble(Transduction):
    """`Transduction` by the mean of several networks.

        p(yₜ | y₁ … yₜ₋₁, x) = 1/M Σₘ pₘ(yₜ | y₁ … yₜ₋₁, x)                           (1)

    Each learns as if it were alone, from the same batches as the others, with weights to begin with
    and dropout of its own. What a search asks, and what is measured, is (1); alignments are the
    networks' mean. A leaf of the state has their axis first.

    Args:
        members: M.

    Source: Sutskever et al., 2014, https://arxiv.org/abs/1409.3215, Section 3.6, whose
    translations are those of five networks.
    """

    members: int = 5

    @property
    def writer(self) -> "Together":
        """All networks as one."""
        return Together(self.model)

    def init(self, key: Key[Array, ""], batch: Batch) -> AveragedState:
        """Initialises every network on the batch's shapes."""
        one = super().init
        return jax.vmap(one, (0, None))(jax.random.split(key, self.members), batch)

    def train_step(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[AveragedState, Metrics]:
        """One update of every network."""
        one, keys = super().train_step, jax.random.split(key, self.members)
        state, metrics = jax.vmap(one, (0, None, 0))(state, batch, keys)
        return state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)


@dataclasses.dataclass(frozen=True)
class Together:
    """Networks of one architecture, applied as if they were one: equation (1) above.

    What they remember, of the source or from step to step, has their axis after the batch's, so
    that a search may reorder its rows.

    Args:
        member: the architecture.

    Example:
        >>> dense, x = nn.Dense(2), jnp.ones((1, 3))
        >>> keys = jax.random.split(jax.random.key(0), 4)
        >>> variables = jax.vmap(dense.init, (0, None))(keys, x)
        >>> jnp.exp(Together(dense).apply(variables, x)).sum().round(4)
        Array(1., dtype=float32)
    """

    member: nn.Module

    def apply(
        self, variables: PyTree, *inputs: Any, method: str | None = None, **options: Any
    ) -> Any:
        """Asks all of them.

        Args:
            variables: of the networks; each leaf has their axis first.
            inputs: of the method, for all of them the same; "memory" and "carry" as before.
            method: "encode", "initial_carry" or "step"; None applies the network.
            options: passed on.

        Returns:
            What the method returns; logits are logarithms of (1).
        """
        axes: tuple[int | None, ...] = (None,) * len(inputs)
        if method in ("initial_carry", "step"):
            axes = (1, 1, None)[: len(inputs)]  # memory, carry, tokens
        each = partial(self.member.apply, method=method, **options)
        found = jax.vmap(each, (0, *axes), 1)(variables, *inputs)
        if method == "step":
            logits, carry, attention = found
            return _mean(logits), carry, None if attention is None else attention.mean(1)
        return jax.tree.map(_mean, found) if method is None else found


def _mean(logits: Float[Array, "batch members *rest"]) -> Float[Array, "batch *rest"]:
    """Computes the logarithm of the networks' mean probability."""
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    return jax.nn.logsumexp(log_p, axis=1) - jnp.log(logits.shape[1])
