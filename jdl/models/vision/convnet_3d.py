"""A convolutional network over space and time: video."""

from collections.abc import Sequence

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import register_model, video


class ConvNet3D(nn.Module):
    """Kernels of 3×3×3 that see motion, in the manner of C3D (Tran et al., 2015).

    The first pooling halves only height and width, so that time is not merged too early (section
    3.1); the others halve all three. In place of C3D's dense layers, a mean over space and time.

    Intermediates: `relu1`, `relu2`, ..., `pooled`.

    Attributes:
        num_classes: number of logits.
        features: channels of the layers.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 10
    features: Sequence[int] = (16, 32, 64)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, videos: Float[Array, "batch time height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies videos.

        Args:
            videos: of 4 frames and 8×8 pixels or more, of about unit variance.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits.
        """
        x = videos
        for i, features in enumerate(self.features, 1):
            x = Conv(features, (3, 3, 3), use_bias=False, dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(train=train, dtype=self.dtype, name=f"bn{i}")(x))
            self.sow("intermediates", f"relu{i}", x)
            window = (1 if i == 1 else 2, 2, 2)
            x = nn.max_pool(x, window, window)
        x = x.mean((1, 2, 3))
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x)


@register_model(
    example=video(16, 64, 64, 1),
    paper="Tran et al., 2015, https://arxiv.org/abs/1412.0767",
    params=70_426,
)
def convnet_3d(**overrides) -> ConvNet3D:
    """Three convolutions over space and time."""
    return ConvNet3D(**overrides)
