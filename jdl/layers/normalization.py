"""Normalisation over the batch, on one device or many."""

import flax.linen as nn
import jax
from flax.typing import Initializer
from jax.typing import DTypeLike

DATA_AXIS = "data"


def BatchNorm(
    *,
    train: bool,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    scale_init: Initializer = nn.initializers.ones,
    dtype: DTypeLike | None = None,
    name: str | None = None,
) -> nn.BatchNorm:
    """Builds batch normalisation whose statistics are those of the global batch.

        y = γ·(x − E[x]) / √(Var[x] + ε) + β                                        (1)

    Under `jax.jit` over a mesh the mean is global already. Where the axis "data" is mapped
    (`jax.pmap`, `jax.shard_map`) each device sees its own shard, and the statistics are averaged
    over that axis.

    Args:
        train: use the batch's statistics and update the running ones; else use the running ones.
        momentum: share of the old running statistics that is kept; 0.9 is torch's 0.1.
        epsilon: ε.
        scale_init: initialiser of γ.
        dtype: of the computation; statistics and parameters stay float32.
        name: name of the layer.

    Returns:
        A layer, to be called on an array whose last axis holds the channels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = BatchNorm(train=True)
        >>> y, _ = layer.init_with_output(jax.random.key(0), jnp.array([[1.0], [3.0]]))
        >>> y.round(3).tolist()
        [[-1.0], [1.0]]

    Source: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167, Algorithm 1.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        scale_init=scale_init,
        dtype=dtype,
        axis_name=DATA_AXIS if _is_mapped(DATA_AXIS) else None,
        name=name,
    )


def _is_mapped(axis: str) -> bool:
    """Tells whether the code is being traced inside a map over the axis."""
    try:
        jax.lax.axis_index(axis)
    except NameError:
        return False
    return True
