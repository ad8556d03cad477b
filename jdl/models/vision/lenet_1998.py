"""LeNet-5 exactly as its paper has it: trainable subsampling, a sparse C3, distances to bitmaps."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.errors import UserError
from jdl.layers.images import check_channels
from jdl.layers.initializers import uniform_by_fan_in
from jdl.models.registry import image, register_model
from jdl.ops.activations import scaled_tanh
from jdl.ops.pooling import avg_pool

# Table I: the maps of S2 that each of the 16 maps of C3 is connected to.
C3_TABLE = (
    *((i % 6, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i % 6, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    tuple(range(6)),
)

# Figure 3: stylised digits on 7×12 pixels, the codes that F6 is compared with.
BITMAPS = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...##.. .#####. .#####. .....## #######  ..####  ####### .#####. .#####.
.##.##. ..###.. ##...## ##...## ....### ##..... .##.... ##...## ##...## ##...##
##...## .####.. .....## .....## ...#### ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## ..##.## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. ..####. .##..## ######. ######. ....##. .#####. ##...##
##...## ...##.. ...##.. .....## ##...## .....## ##...## ...##.. ##...## .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...##.. .##.... .....## .....## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## .....## ##...## ##...## ..##... ##...## ....##.
..###.. .###### ####### .#####. .....## .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def prototypes() -> Float[np.ndarray, "10 84"]:
    """Returns the digits' bitmaps as vectors: +1 on black, −1 on white.

    Example:
        >>> prototypes().shape, set(prototypes().ravel().tolist())
        ((10, 84), {1.0, -1.0})
    """
    rows = [line.split() for line in BITMAPS.strip().splitlines()]
    pixels = [[list(cell.ljust(7, ".")) for cell in row] for row in rows]
    return np.where(np.array(pixels) == "#", 1.0, -1.0).transpose(1, 0, 2).reshape(10, 84)


class Subsampling(nn.Module):
    """The sum of each 2×2 window, times a trainable coefficient, plus a trainable bias.

    Attributes:
        dtype: of the computation.
    """

    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Halves height and width."""
        channels = (1, 1, 1, x.shape[-1])
        coefficient = self.param("coefficient", uniform_by_fan_in(4), channels[-1:])
        bias = self.param("bias", nn.initializers.zeros, channels[-1:])
        y = 4 * avg_pool(x) * coefficient.reshape(channels) + bias.reshape(channels)
        return y.astype(self.dtype or y.dtype)


class SparseConv(nn.Module):
    """A 5×5 convolution whose maps see only the maps that a table names.

    Attributes:
        table: for each map of the result, the maps of the input.
        dtype: of the computation.
    """

    table: tuple[tuple[int, ...], ...]
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves without padding."""
        pairs = [(i, o) for o, inputs in enumerate(self.table) for i in inputs]
        inputs, outputs = np.array(pairs).T
        # Appendix A: by the number of inputs of a unit, which differs from map to map.
        bound = jnp.array([2.4 / (25 * len(self.table[o])) for o in outputs])

        def init(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, minval=-1) * bound.reshape(1, 1, -1)

        kernel = self.param("kernel", init, (5, 5, len(pairs)))
        bias = self.param("bias", nn.initializers.zeros, (len(self.table),))
        full = jnp.zeros((5, 5, x.shape[-1], len(self.table))).at[:, :, inputs, outputs].set(kernel)
        y = lax.conv_general_dilated(
            x, full.astype(x.dtype), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return (y + bias.reshape(1, 1, 1, -1)).astype(self.dtype or y.dtype)


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., 1998, Section II.B).

        y_k = Σⱼ (xⱼ − wₖⱼ)²                                                        (1)

    C1, S2, C3, S4, C5, F6 and a layer of radial basis functions (1), whose centres w are bitmaps of
    the digits that are not trained. Subsampling has a coefficient and a bias for each map, a map of
    C3 sees three to six maps of S2, and every layer up to F6 ends in a scaled tanh.

    Intermediates: `c1`, `s2`, `c3`, `s4`, `c5`, `f6`.

    Attributes:
        in_channels: 1: the paper's images are grey.
        dtype: of the computation; parameters stay float32.
    """

    in_channels: int = 1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch 10"]:
        """Classifies digits.

        Args:
            images: 32 pixels high and wide, or 28, which are padded by two on each side. In [0, 1],
                ink 1; they are brought to the paper's −0.1 for white and 1.175 for black.
            train: changes nothing.

        Returns:
            −y: the nearest bitmap has the largest number. `map_loss` trains them.

        Raises:
            UserError: the images have another size or are coloured.
        """
        check_channels(images, self.in_channels)
        _, height, width, _ = images.shape
        if height != width or height not in (28, 32):
            raise UserError(f"LeNet-5 takes images of 28x28 or 32x32 pixels, not {height}x{width}")
        border = (32 - height) // 2
        x = jnp.pad(images, [(0, 0), (border, border), (border, border), (0, 0)])
        x = 1.275 * x - 0.1

        conv = partial(nn.Conv, kernel_size=(5, 5), padding="VALID", dtype=self.dtype)
        x = self._seen("c1", conv(6, kernel_init=uniform_by_fan_in(25), name="C1")(x))
        x = self._seen("s2", Subsampling(self.dtype, name="S2")(x))
        x = self._seen("c3", SparseConv(C3_TABLE, self.dtype, name="C3")(x))
        x = self._seen("s4", Subsampling(self.dtype, name="S4")(x))
        x = self._seen("c5", conv(120, kernel_init=uniform_by_fan_in(400), name="C5")(x))
        dense = nn.Dense(84, kernel_init=uniform_by_fan_in(120), dtype=self.dtype, name="F6")
        x = self._seen("f6", dense(x.reshape(-1, 120)))
        return -jnp.square(x[:, None] - jnp.asarray(prototypes(), x.dtype)[None]).sum(-1)

    def _seen(self, name: str, x: Array) -> Array:
        x = scaled_tanh(x)
        self.sow("intermediates", name, x)
        return x


def map_loss(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"], rubbish: float = 10.0
) -> Float[Array, " batch"]:
    """The paper's maximum a posteriori criterion (Section II.C, equation 9).

        E = y_D + log(e^(−j) + Σᵢ e^(−yᵢ))                                          (2)

    The right class's penalty is pulled down, all others are pushed up, no further than the constant
    of a rubbish class; this also keeps the trivial solution away, in which all penalties collapse.

    Args:
        logits: −y.
        labels: D.
        rubbish: j.

    Returns:
        E of each example, in nats.

    Example:
        >>> logits = jnp.array([[0.0, -50.0]])
        >>> map_loss(logits, jnp.array([0])).round(3).tolist()
        [0.0]
    """
    right = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
    bottom = jnp.full((len(logits), 1), -rubbish, logits.dtype)
    return jax.nn.logsumexp(jnp.concatenate([logits, bottom], 1), 1) - right


@register_model(
    example=image(32, 32, 1),
    paper="LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
    params=60_000,
)
def lenet5_1998(**overrides) -> LeNet5:
    """LeNet-5 as published: sparse C3, trainable subsampling, distances to bitmaps.

    Example:
        >>> model, images = lenet5_1998(), jnp.zeros((8, 32, 32, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (8, 10)
    """
    return LeNet5(**overrides)
