"""Temporal convolutional network: dilated causal convolutions in residual blocks."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.models.registry import register_model, signal
from jdl.ops.convolution import causal_conv

# torch's of a convolution, which the authors' code ends up with.
direction_init = nn.initializers.variance_scaling(
    1 / 3, "fan_in", "uniform", in_axis=(1, 2), out_axis=0
)


class CausalConv(nn.Module):
    """Causal convolution with weight normalisation (Salimans and Kingma, 2016).

        w = g v / ‖v‖, the norm over all but the outputs                            (1)

    Parameters are torch's `weight_g`, `weight_v` [out, in, taps] and `bias`; g begins as ‖v‖.

    Attributes:
        features: channels of the result.
        kernel_size: taps.
        dilation: steps from one tap to the next.
        dtype: of the convolution; the normalisation runs in float32.
    """

    features: int
    kernel_size: int
    dilation: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time channels"]
    ) -> Float[Array, "batch time features"]:
        """Convolves by equation (1) and adds the bias."""
        shape = (self.features, x.shape[-1], self.kernel_size)
        direction = self.param("weight_v", direction_init, shape)
        norm = jnp.sqrt(jnp.square(direction).sum((1, 2), keepdims=True))
        gain = self.param("weight_g", lambda key: norm)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, weight, bias = promote_dtype(x, gain * direction / norm, bias, dtype=self.dtype)
        return causal_conv(x, weight.transpose(2, 1, 0), self.dilation) + bias[None, None]


class TemporalBlock(nn.Module):
    """Two causal convolutions of one dilation, and the way around them (section 3.3).

        y = ReLU(x + f(f(x))),  f = dropout ∘ ReLU ∘ convolution                    (2)

    with a convolution of one tap on x where it has another number of channels. Intermediate:
    `output`.

    Attributes:
        features: channels of the result.
        kernel_size: taps.
        dilation: steps from one tap to the next.
        dropout: rate.
        dtype: of the convolutions.
    """

    features: int
    kernel_size: int
    dilation: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time channels"], *, train: bool
    ) -> Float[Array, "batch time features"]:
        """Applies equation (2)."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y = x
        for name in ("conv1", "conv2"):
            conv = CausalConv(self.features, self.kernel_size, self.dilation, self.dtype, name=name)
            y = drop(nn.relu(conv(y)))
        if x.shape[-1] != self.features:
            x = nn.Conv(
                self.features,
                (1,),
                kernel_init=nn.initializers.normal(0.01),
                dtype=self.dtype,
                name="downsample",
            )(x)
        y = nn.relu(x + y)
        self.sow("intermediates", "output", y)
        return y


class TCN(nn.Module):
    """Temporal convolutional network (Bai et al., 2018, https://arxiv.org/abs/1803.01271).

    Block i, from 0, is dilated by 2ⁱ, so that with k taps and n blocks an output sees

        1 + 2 (k − 1) (2ⁿ − 1)                                                      (3)

    steps, its own and those before it, and nothing later. A dense layer answers after every step.

    Layers carry the names of the authors' code. Intermediates: `tcn.network.0.output`, ...

    Attributes:
        num_outputs: numbers in each answer.
        features: channels of the blocks.
        kernel_size: k.
        dropout: rate after each convolution.
        dtype: of the computation; parameters stay float32.
    """

    num_outputs: int = 1
    features: Sequence[int] = (30,) * 8
    kernel_size: int = 7
    dropout: float = 0.0
    dtype: DTypeLike | None = None

    @property
    def receptive_field(self) -> int:
        """Steps that an output sees: equation (3).

        Example:
            >>> tcn().receptive_field
            3061
        """
        return 1 + 2 * (self.kernel_size - 1) * (2 ** len(self.features) - 1)

    @nn.compact
    def __call__(
        self, signals: Float[Array, "batch time channels"], *, train: bool = False
    ) -> Float[Array, "batch time outputs"]:
        """Reads signals.

        Args:
            signals: of about unit variance.
            train: apply dropout.

        Returns:
            An answer after each step, from that step and those before it.
        """
        x = signals
        for i, features in enumerate(self.features):
            block = TemporalBlock(
                features,
                self.kernel_size,
                2**i,
                self.dropout,
                self.dtype,
                name=f"tcn.network.{i}",
            )
            x = block(x, train=train)
        return nn.Dense(
            self.num_outputs,
            kernel_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
            name="linear",
        )(x)


@register_model(
    example=signal(600, 2),
    paper="Bai et al., 2018, https://arxiv.org/abs/1803.01271",
    params=96_001,
)
def tcn(**overrides) -> TCN:
    """The authors' network for the adding problem of 600 steps.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, signals = tcn(), jnp.zeros((3, 600, 2))
        >>> forward = lambda key: model.init_with_output(key, signals)
        >>> answers, _ = jax.eval_shape(forward, jax.random.key(0))
        >>> answers.shape
        (3, 600, 1)
    """
    return TCN(**overrides)
