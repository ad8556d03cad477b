"""A convolutional network along one axis: signals and time series."""

from collections.abc import Sequence

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.normalization import BatchNorm
from jdl.models.registry import register_model, signal


class ConvNet1D(nn.Module):
    """Convolutions along time, pooled between them and over what is left.

    The same kernel slides over all moments, so that a pattern is found whenever it comes. Any
    length from 2ⁿ on is taken, n being the number of layers.

    Intermediates: `relu1`, `relu2`, ..., `pooled`.

    Attributes:
        num_classes: number of logits.
        features: channels of the layers.
        kernel_size: moments that a kernel sees.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 10
    features: Sequence[int] = (32, 64, 128)
    kernel_size: int = 5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, signals: Float[Array, "batch time channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies signals.

        Args:
            signals: of about unit variance.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits.
        """
        x = signals
        for i, features in enumerate(self.features, 1):
            x = nn.Conv(
                features, (self.kernel_size,), use_bias=False, dtype=self.dtype, name=f"conv{i}"
            )(x)
            x = nn.relu(BatchNorm(train=train, dtype=self.dtype, name=f"bn{i}")(x))
            self.sow("intermediates", f"relu{i}", x)
            x = nn.max_pool(x, (2,), (2,))
        x = x.mean(1)
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x)


@register_model(
    example=signal(128, 1),
    paper="LeCun and Bengio, 1995, http://yann.lecun.com/exdb/publis/pdf/lecun-bengio-95a.pdf",
    params=53_098,
)
def convnet_1d(**overrides) -> ConvNet1D:
    """Three convolutions along time."""
    return ConvNet1D(**overrides)
