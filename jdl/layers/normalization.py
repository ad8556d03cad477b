"""Normalisation over the batch, on one device or many, with torch's running statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

DATA_AXIS = "data"


class BatchNorm(nn.Module):
    """Batch normalisation whose statistics are those of the global batch.

        y = γ·(x − E[x]) / √(Var[x] + ε) + β                                        (1)
        μ ← m·μ + (1 − m)·E[x],  σ² ← m·σ² + (1 − m)·n/(n − 1)·Var[x]               (2)

    The batch's own statistics in (1) when training, the running ones (2) otherwise. The running
    variance takes the unbiased estimate, from the n numbers that each channel has in the batch, as
    in the paper and in torch; `nn.BatchNorm` takes the biased one.

    Under `jax.jit` over a mesh the mean is global already. Where the axis "data" is mapped
    (`jax.pmap`, `jax.shard_map`) each device sees its own shard, and the statistics are averaged
    over that axis.

    Attributes:
        train: use the batch's statistics and update the running ones; else use the running ones.
        momentum: m; 0.9 is torch's 0.1.
        epsilon: ε.
        scale_init: initialiser of γ.
        dtype: of the result; statistics and parameters stay float32.

    Example:
        >>> layer = BatchNorm(train=True)
        >>> y, _ = layer.init_with_output(jax.random.key(0), jnp.array([[1.0], [3.0]]))
        >>> y.round(3).tolist()
        [[-1.0], [1.0]]

    Source: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167, Algorithms 1 and 2.
    """

    train: bool
    momentum: float = 0.9
    epsilon: float = 1e-5
    scale_init: Initializer = nn.initializers.ones
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        """Normalises over all axes but the last."""
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)

        if self.train:
            mean, var, count = _statistics(x)
            if not self.is_initializing():
                keep, unbiased = self.momentum, var * (count / max(count - 1, 1))
                running_mean.value = keep * running_mean.value + (1 - keep) * mean
                running_var.value = keep * running_var.value + (1 - keep) * unbiased
        else:
            mean, var = running_mean.value, running_var.value

        # One multiplication and one addition for each number, with which the pass before can fuse.
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        offset = bias - mean * factor
        shape = (1,) * (x.ndim - 1) + channels
        y = x * factor.reshape(shape) + offset.reshape(shape)
        return y.astype(self.dtype or x.dtype)


def _statistics(x: Array) -> tuple[Array, Array, int]:
    """Returns mean, biased variance and how many numbers they are of."""
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    mean, square = x.mean(axes), jnp.square(x).mean(axes)
    count = x.size // x.shape[-1]
    if _is_mapped(DATA_AXIS):
        mean, square = jax.lax.pmean((mean, square), DATA_AXIS)
        count *= jax.lax.axis_size(DATA_AXIS)
    return mean, jnp.maximum(square - jnp.square(mean), 0), count


def _is_mapped(axis: str) -> bool:
    """Tells whether the code is being traced inside a map over the axis."""
    try:
        jax.lax.axis_index(axis)
    except NameError:
        return False
    return True
