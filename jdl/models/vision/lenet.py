"""LeNet-5 as the lectures write it: the convolutional network in its smallest form."""

from collections.abc import Callable

import flax.linen as nn
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, max_pool

SIZES = (28, 32, 64)


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al., 1998, Section II.B).

    Two convolutions, each followed by pooling, and three dense layers. The lecture's form has one
    plain average where the paper has trainable subsampling, a full C3 where it has a sparse table,
    and logits where it has distances to codes. Images of 28 pixels are padded by two on each side,
    as the paper's 32-pixel images were made; 64 pixels only make the first dense layer larger.

    Layers carry the names of the lecture's torch form. Intermediates: `c1`, `s2`, `c3`, `s4`, `c5`,
    `f6`, as the paper calls them.

    Attributes:
        num_classes: number of logits.
        activation: applied after every layer but the last.
        pooling: of windows of 2×2.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 10
    activation: Callable[[Array], Array] = jax.numpy.tanh
    pooling: Callable[[Array], Array] = avg_pool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: 28, 32 or 64 pixels high and wide, any number of channels.
            train: changes nothing: the network has neither dropout nor batch statistics.

        Returns:
            Logits.

        Raises:
            UserError: the images have another size.
        """
        batch, height, width, _ = images.shape
        if height != width or height not in SIZES:
            raise UserError(
                f"LeNet-5 takes images of 28x28, 32x32 or 64x64 pixels, not {height}x{width}"
            )
        border = 2 if height == 28 else 0

        x = Conv(6, (5, 5), padding=border, dtype=self.dtype, name="conv1")(images)
        x = self._seen("c1", self.activation(x))
        x = self._seen("s2", self.pooling(x))
        x = Conv(16, (5, 5), padding="VALID", dtype=self.dtype, name="conv2")(x)
        x = self._seen("c3", self.activation(x))
        x = self._seen("s4", self.pooling(x))
        x = x.reshape(batch, -1)
        x = self._seen("c5", self.activation(nn.Dense(120, dtype=self.dtype, name="fc1")(x)))
        x = self._seen("f6", self.activation(nn.Dense(84, dtype=self.dtype, name="fc2")(x)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc3")(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


PAPER = "LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf"


@register_model(example=image(28, 28, 1), paper=PAPER, params=61_706)
def lenet5(**overrides) -> LeNet:
    """LeNet-5 with tanh and average pooling: the lecture's Keras form.

    Example:
        >>> model, images = lenet5(num_classes=3), jax.numpy.zeros((8, 28, 28, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (8, 3)
    """
    return LeNet(**overrides)


@register_model(example=image(32, 32, 1), paper=PAPER, params=61_706)
def lenet5_relu(**overrides) -> LeNet:
    """LeNet-5 with ReLU and max pooling: the lecture's torch form.

    Example:
        >>> lenet5_relu().pooling.__name__
        'max_pool'
    """
    return LeNet(**{"activation": jax.nn.relu, "pooling": max_pool, **overrides})
