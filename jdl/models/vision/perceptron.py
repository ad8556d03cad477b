"""The neuron, the perceptron, and perceptrons in layers."""

from collections.abc import Callable, Sequence

import flax.linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model


class MLP(nn.Module):
    """A multilayer perceptron (Rumelhart et al., 1986, https://doi.org/10.1038/323533a0).

        xˡ = f(Wˡ xˡ⁻¹ + bˡ),  l = 1 … L;  logits = W xᴸ + b                        (1)

    Without hidden layers it is the perceptron with one unit a class (Rosenblatt, 1958,
    https://doi.org/10.1037/h0042519): the largest sum wins. `jdl.ops.perceptron` has Rosenblatt's
    own rule of learning, and McCulloch and Pitts' unit.

    Intermediates: `activation.0`, `activation.1`, ...

    Attributes:
        hidden_sizes: units of the hidden layers.
        num_classes: number of logits.
        activation: f.
        dropout: rate, after each hidden layer.
        batch_norm: normalise what f is given, over the batch.
        kernel_init: initialiser of all W.
        in_channels: channels of the images.
        dtype: of the computation; parameters stay float32.
    """

    hidden_sizes: Sequence[int] = (300, 100)
    num_classes: int = 10
    activation: Callable[[Array], Array] = nn.relu
    dropout: float = 0.0
    batch_norm: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    in_channels: int = 1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch *shape"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies vectors, or images as vectors of their pixels.

        Args:
            inputs: of any shape, always the same one.
            train: apply dropout; normalise by the batch's own statistics.

        Returns:
            Logits.

        Raises:
            UserError: images of another number of channels.
        """
        if inputs.ndim == 4 and inputs.shape[-1] != self.in_channels:
            raise UserError(
                f"these images have {inputs.shape[-1]} channels, the network takes "
                f"{self.in_channels}"
            )
        x = inputs.reshape(len(inputs), -1)
        for i, size in enumerate(self.hidden_sizes):
            x = self._dense(size, f"hidden.{i}")(x)
            if self.batch_norm:
                x = BatchNorm(train=train, dtype=self.dtype, name=f"norm.{i}")(x)
            x = self.activation(x)
            self.sow("intermediates", f"activation.{i}", x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return self._dense(self.num_classes, "output")(x)

    def _dense(self, size: int, name: str) -> nn.Dense:
        return nn.Dense(size, kernel_init=self.kernel_init, dtype=self.dtype, name=name)


@register_model(
    example=image(28, 28, 1),
    paper="Rosenblatt, 1958, https://doi.org/10.1037/h0042519",
    params=7_850,
)
def perceptron(**overrides) -> MLP:
    """One layer of linear threshold units, one a class.

    Example:
        >>> perceptron().hidden_sizes
        ()
    """
    return MLP(**{"hidden_sizes": (), **overrides})


@register_model(
    example=image(28, 28, 1),
    paper="Rumelhart et al., 1986, https://doi.org/10.1038/323533a0",
    params=266_610,
)
def mlp(**overrides) -> MLP:
    """A multilayer perceptron, of 300 and 100 hidden units unless told otherwise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = mlp(hidden_sizes=(32,) * 5)
        >>> len(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8)))["params"])
        6
    """
    return MLP(**overrides)
