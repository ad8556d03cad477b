"""The Neocognitron: simple and complex cells in turn, which learn without a teacher."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.models.registry import image, register_model

Maps = Float[Array, "batch height width planes"]


class Neocognitron(nn.Module):
    """The Neocognitron (Fukushima, 1980, https://doi.org/10.1007/BF00344251).

    Stages of S-cells, which answer to learned features, and C-cells, which answer wherever near
    them the feature is. With inputs u ≥ 0, excitatory weights a, inhibitory weights b, fixed
    weights c and d that fall off from a window's centre, φ the ReLU and ψ(x) = φ(x) / (α + φ(x)):

        v = √(Σ_{k,ν} c(ν) u_k(n + ν)²)                                             (1)
        S_k(n) = r φ[(1 + Σ_{κ,ν} a_k(ν, κ) u_κ(n + ν)) / (1 + 2r/(1 + r) b_k v(n)) − 1]     (2)
        w(n) = 1/K Σ_{k,ν} d(ν) S_k(n + ν)                                          (3)
        C_k(n) = ψ[(1 + Σ_ν d(ν) S_k(n + ν)) / (1 + w(n)) − 1]                      (4)

    The rule by which a and b grow is `reinforce`. C-layers are sampled at every second place; a
    cell of the last one sees, with equal weights, its whole plane.

    Intermediates: `s1`, `c1`, `s2`, `c2`, ...

    Attributes:
        planes: cell planes of each stage.
        kernel_size: side of the windows that S-cells see.
        complex_size: side of the windows that C-cells see.
        selectivity: r of each stage: the larger, the closer an input must be to what was learned.
        saturation: α.
        dtype: of the computation; parameters stay float32.
    """

    planes: Sequence[int] = (24, 24, 24)
    kernel_size: int = 5
    complex_size: int = 5
    selectivity: Sequence[float] = (4.0, 1.5, 1.5)
    saturation: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Maps, *, train: bool = False) -> Float[Array, "batch last_planes"]:
        """Answers with the C-cells of the last stage.

        Args:
            images: from 0 to 1.
            train: makes no difference.

        Returns:
            One number from 0 to 1 for each plane.
        """
        (u,) = promote_dtype(images, dtype=self.dtype)
        for stage, planes in enumerate(self.planes, 1):
            shape = (self.kernel_size, self.kernel_size, u.shape[-1], planes)
            excitatory = self.param(f"a{stage}", _small_and_tilted, shape)
            inhibitory = self.param(f"b{stage}", nn.initializers.zeros, (planes,))
            u, excitatory, inhibitory = promote_dtype(u, excitatory, inhibitory, dtype=self.dtype)
            s = self._simple(u, excitatory, inhibitory, self.selectivity[stage - 1])
            self.sow("intermediates", f"s{stage}", s)
            last = stage == len(self.planes)
            drive = s.sum((1, 2), keepdims=True) if last else self._gather(s)
            u = self._complex(drive)
            self.sow("intermediates", f"c{stage}", u)
        return u[:, 0, 0]

    def _simple(self, u: Maps, a: Array, b: Array, r: float) -> Array:
        """Returns the answers (2)."""
        fall_off = _fall_off(self.kernel_size, u.shape[-1]).astype(u.dtype)
        energy = jnp.sqrt(_convolve(jnp.square(u), fall_off))
        drive = _convolve(u, a)
        inhibition = 2 * r / (1 + r) * energy * b[None, None, None]
        return r * nn.relu((1 + drive) / (1 + inhibition) - 1)

    def _gather(self, s: Maps) -> Array:
        """Returns what C-cells are driven by, the sum over ν in (4), at every second place."""
        planes = s.shape[-1]
        kernel = jnp.tile(_fall_off(self.complex_size, 1), (1, 1, 1, planes)).astype(s.dtype)
        return _convolve(s, kernel, stride=2, groups=planes)

    def _complex(self, drive: Maps) -> Array:
        """Returns the answers (4)."""
        x = nn.relu((1 + drive) / (1 + drive.mean(-1, keepdims=True)) - 1)
        return x / (self.saturation + x)


def _small_and_tilted(key: Array, shape: Sequence[int]) -> Array:
    return 1e-3 * jax.random.uniform(key, shape)


def _fall_off(size: int, planes: int) -> Array:
    """Returns weights that fall off from the centre and sum to 1."""
    place = np.arange(size) - (size - 1) / 2
    radius = np.hypot(*np.meshgrid(place, place))
    weights = np.repeat(0.7 ** radius[:, :, None, None], planes, axis=2)
    return jnp.asarray(weights / weights.sum(), jnp.float32)


def _convolve(x: Maps, kernel: Array, stride: int = 1, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def reinforce(
    model: Neocognitron,
    params: dict[str, Array],
    image: Float[Array, "height width channels"],
    stage: int,
    rate: float,
) -> dict[str, Array]:
    """Shows one image to one stage, whose most active S-cells grow towards what they see.

    Among the cells of all planes around a place, only the most active is a candidate; of each
    plane, only its most active candidate, at n̂, represents it. With it, its whole plane learns:

        a_k(ν, κ) ← a_k(ν, κ) + q c(ν) u_κ(n̂ + ν)                                   (5)
        b_k ← b_k + q/2 v(n̂)                                                        (6)

    So no plane learns what another one knows, and nobody says what is to be learned.

    Args:
        model: the network.
        params: its weights.
        image: from 0 to 1.
        stage: which one learns, from 1 on.
        rate: q.

    Returns:
        The weights afterwards.

    Example:
        >>> model = Neocognitron(planes=(2,))
        >>> bar = jnp.zeros((9, 9, 1)).at[4, 2:7].set(1.0)
        >>> params = model.init(jax.random.key(0), bar[None])["params"]
        >>> learned = reinforce(model, params, bar, stage=1, rate=1.0)
        >>> int((learned["b1"] > 0).sum())  # of two planes, one has learned the bar
        1
    """
    _, seen = model.apply({"params": params}, image[None], mutable=["intermediates"])
    seen = seen["intermediates"]
    u = image if stage == 1 else seen[f"c{stage - 1}"][0][0]
    s = seen[f"s{stage}"][0][0]
    size, planes = model.kernel_size, s.shape[-1]
    rivals = lax.reduce_window(s.max(-1), -jnp.inf, lax.max, (size, size), (1, 1), "SAME")
    candidates = jnp.where((s > 0) & (s == rivals[..., None]), s, 0.0).reshape(-1, planes)
    represented = candidates.max(0) > 0
    rows, columns = jnp.unravel_index(candidates.argmax(0), s.shape[:2])

    half = size // 2
    padded = jnp.pad(u, ((half, half), (half, half), (0, 0)))
    window = (size, size, u.shape[-1])
    cut = jax.vmap(lambda row, column: lax.dynamic_slice(padded, (row, column, 0), window))
    patches = cut(rows, columns) * represented[:, None, None, None]
    weights = _fall_off(size, u.shape[-1])[None, ..., 0]
    energies = jnp.sqrt((weights * jnp.square(patches)).sum((1, 2, 3)))
    grown = rate * jnp.moveaxis(weights * patches, 0, -1)
    return params | {
        f"a{stage}": params[f"a{stage}"] + grown,
        f"b{stage}": params[f"b{stage}"] + rate / 2 * energies,
    }


@register_model(
    example=image(28, 28, 1),
    paper="Fukushima, 1980, https://doi.org/10.1007/BF00344251",
    params=29_472,
)
def neocognitron(**overrides) -> Neocognitron:
    """The Neocognitron with three stages of 24 planes."""
    return Neocognitron(**overrides)
