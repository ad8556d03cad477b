"""Zeiler's deconvnet: from an activation back down to the pixels that it answers to."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from jdl.errors import UserError
from jdl.explore.interpreter import evaluate, interpret, is_rectifier
from jdl.explore.receptive_field import receptive_field
from jdl.ops.lowering import plain_lowerings
from jdl.ops.unpooling import max_pool_with_switches, unpool
from jdl.tasks.drawing import show_image

Images = Float[Array, "batch height width channels"]
Activations = Float[Array, "batch rows columns features"]

MOST = 16  # features that fit on a page, with nine patches of each
# What has an adjoint: filters transposed, or elements where they came from.
# fmt: off
LINEAR = frozenset(
    [
        "broadcast_in_dim", "conv_general_dilated", "convert_element_type", "copy", "copy_p", "div",
        "dot_general", "mul", "neg", "pad", "reduce_sum", "reduce_window_sum", "reshape", "slice",
        "squeeze", "transpose",
    ]
)
# fmt: on


@dataclasses.dataclass(frozen=True)
class Seen:
    """An array on the way up from the picture.

    Attributes:
        value: the array.
        below: what it was computed from; None for the picture itself.
        down: brings a signal of the array's shape to one of the shape of what is below.
    """

    value: Array
    below: "Seen | None" = None
    down: Callable[[Array], Array] = lambda signal: signal


def deconvnet(
    network: Callable[[Images], Array], images: Images, choose: Callable[[Array], Array]
) -> Images:
    """Projects activations of a layer back to the pixels.

    What is chosen of the layer's activations goes down the path that the picture came up by. For
    each layer y = pool(max(x * w + b, 0)), a signal s of y's shape becomes

        s ← unpool(s), each number where the pool found its maximum: at its switch  (1)
        s ← max(s, 0)                                                               (2)
        s ← s * wᵀ, the filter turned around                                        (3)

    A gradient would not rectify the signal: it would stop it where the picture's own x was negative
    (`jdl.explore.saliency`). Biases are left out, and a normalisation divides by what it divided
    the picture by.

    Args:
        network: images → activations of the layer; of convolutions, dense layers, ReLUs, poolings
            and normalisations, one after the other. Not compiled before, by `jax.jit`.
        images: in what range the network takes them.
        choose: activations → those that are to be projected, the others set to zero: `strongest`.

    Returns:
        The signal at the pixels.

    Raises:
        UserError: on the way is something else, or branches meet.

    Example:
        >>> network = lambda x: jax.nn.relu(1 - x)
        >>> deconvnet(network, jnp.array([0.2, 3.0]).reshape(1, 1, 2, 1), lambda y: y).ravel()
        Array([-0.8, -0. ], dtype=float32)

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 2.1.
    """
    with plain_lowerings():  # One operation a layer, as the rules below know them.
        computation = jax.make_jaxpr(network)(images)
    (seen,) = interpret(computation, [Seen(images)], _climb)
    signal = choose(seen.value)
    while seen.below is not None:
        signal = seen.down(signal)
        seen = seen.below
    return signal


def strongest(
    activations: Float[Array, "batch *maps features"], feature: int | Int[Array, ""] | None = None
) -> Float[Array, "batch *maps features"]:
    """Leaves of each image only the largest activation, and sets all others to zero.

    Args:
        activations: of maps, or of units.
        feature: of this one alone; of all when None.

    Returns:
        Activations of the same shape.

    Example:
        >>> strongest(jnp.array([1.0, 3.0, 2.0, 4.0]).reshape(1, 2, 1, 2), feature=0).ravel()
        Array([0., 0., 2., 0.], dtype=float32)
    """
    allowed = activations
    if feature is not None:
        here = jnp.arange(activations.shape[-1]) == feature
        allowed = jnp.where(jnp.broadcast_to(here, activations.shape), activations, -jnp.inf)
    flat = allowed.reshape(len(allowed), -1)
    hits = jax.nn.one_hot(flat.argmax(1), flat.shape[1], dtype=bool)
    return jnp.where(hits.reshape(activations.shape), activations, 0)


@dataclasses.dataclass(frozen=True)
class Patches:
    """What features of a layer answer to most strongly in a set of pictures.

    Attributes:
        features: numbers of the features.
        pictures: for each feature the patches that it answers to, strongest first.
        projections: of the same patches, what of them the deconvnet brings down.
        activations: of the feature, in the middle of each patch.
    """

    features: Sequence[int]
    pictures: Float[np.ndarray, "features count height width channels"]
    projections: Float[np.ndarray, "features count height width channels"]
    activations: Float[np.ndarray, "features count"]


def top_patches(
    network: Callable[[Images], Activations],
    images: Float[np.ndarray, "images height width channels"],
    features: Sequence[int] | None = None,
    count: int = 9,
    advance: Callable[[], None] = lambda: None,
) -> Patches:
    """Finds the patches that features answer to most strongly, and projects them to the pixels.

    Of each picture, the patch around the feature's largest activation competes: as large as the
    receptive field, as far as the picture reaches.

    Args:
        network: images → activations of the layer, as `deconvnet` takes it; a
            `jax.tree_util.Partial` keeps weights out of the compiled program.
        images: to look for patches in.
        features: which maps of the layer; when None, those whose patches excite them most, `MOST`
            at most.
        count: patches of each.
        advance: called after each feature.

    Returns:
        The patches, and their projections.

    Raises:
        UserError: as `deconvnet`; or there are fewer images, or no such feature, or none answers to
            so many images.

    Example:
        >>> network = lambda x: jax.nn.relu(x[:, ::2, ::2])
        >>> images = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
        >>> patches = top_patches(network, images, [0], count=1)
        >>> patches.pictures.shape, round(float(patches.activations[0, 0]), 2)
        ((1, 1, 1, 1, 1), 0.84)

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 4 and Figure 2.
    """
    if len(images) < count:
        raise UserError(f"{count} patches are to come from as many images, not {len(images)}")
    network = network if isinstance(network, Partial) else Partial(network)

    @jax.jit
    def project(network, x, feature):
        return deconvnet(network, x, lambda y: strongest(y, feature))

    cut = _Cutter(network, images.shape)
    # What it cannot go down through is refused before all images are looked at.
    jax.eval_shape(project, network, images[:count], 0)
    look = jax.jit(lambda network, x: network(x))
    maps = np.concatenate([look(network, images[i : i + 50]) for i in range(0, len(images), 50)])
    if features is None:
        weakest = np.sort(maps.max((1, 2)), axis=0)[-count]
        best = np.argsort(-weakest, kind="stable")[:MOST]
        features = sorted(best[weakest[best] > 0].tolist())
        if not features:
            raise UserError(f"no feature of this layer answers to {count} of these images")
    if not set(features) <= set(range(maps.shape[-1])):
        raise UserError(f"the layer has features 0 to {maps.shape[-1] - 1}, not {features}")
    found: list[tuple] = []
    for feature in features:
        peaks = maps[..., feature].reshape(len(images), -1)
        best = np.argsort(-peaks.max(1), kind="stable")[:count]
        wheres = [np.unravel_index(peaks[i].argmax(), maps.shape[1:3]) for i in best]
        projections = np.asarray(project(network, images[best], feature))
        found.append(
            (
                [cut(images[i], where) for i, where in zip(best, wheres)],
                [cut(image, where) for image, where in zip(projections, wheres)],
                peaks.max(1)[best],
            )
        )
        advance()
    pictures, projections, activations = (np.array(part) for part in zip(*found))
    return Patches(list(features), pictures, projections, activations)


class _Cutter:
    """Cuts out of a picture what an activation sees, moved into the picture at its borders."""

    def __init__(self, network: Callable, shape: tuple[int, ...]):
        with plain_lowerings():
            field = receptive_field(network, jax.ShapeDtypeStruct((1, *shape[1:]), jnp.float32))
        if field is None:
            raise UserError("it is not known what the activations of this layer see")
        self.field = field
        self.sides = shape[1:3]
        self.sizes = [min(size, side) for size, side in zip(field.size, self.sides)]

    def __call__(self, picture: np.ndarray, where: tuple) -> np.ndarray:
        starts = [
            int(np.clip(offset + i * stride, 0, side - size))
            for i, offset, stride, side, size in zip(
                where, self.field.offset, self.field.stride, self.sides, self.sizes
            )
        ]
        return picture[tuple(slice(s, s + size) for s, size in zip(starts, self.sizes))]


def patches_figure(patches: Patches, title: str = "") -> Figure:
    """Draws patches, and beside them what the deconvnet brings down of each.

    Args:
        patches: of pictures in [0, 1].
        title: above them all.

    Returns:
        A block for each feature: projections on its left, pictures on its right.

    Example:
        >>> pictures = np.zeros((2, 9, 8, 8, 3), np.float32)
        >>> figure = patches_figure(Patches([4, 7], pictures, pictures, pictures[..., 0, 0, 0]))
        >>> [axes.get_title() for axes in figure.axes][::2]
        ['feature 4', 'feature 7']
    """
    columns = min(4, len(patches.features))
    rows = -(-len(patches.features) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.85 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, 2 * columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for i, feature in enumerate(patches.features):
        left, right = grid[2 * i : 2 * i + 2]
        show_image(left, mosaic(np.stack([around_grey(p) for p in patches.projections[i]])))
        show_image(right, mosaic(patches.pictures[i]))
        left.set_title(f"feature {feature}", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def around_grey(signal: np.ndarray) -> np.ndarray:
    """Brings a signed signal to [0, 1]: zero is grey, and its largest number black or white.

    Example:
        >>> around_grey(np.array([0.0, -2.0])).tolist()
        [0.5, 0.0]
    """
    return 0.5 + signal / (2 * max(float(np.abs(signal).max()), 1e-12))


def mosaic(
    images: Float[np.ndarray, "count height width channels"], gap: int = 1
) -> Float[np.ndarray, "tall wide channels"]:
    """Lays images out in a square, with white lines between them.

    Args:
        images: in [0, 1].
        gap: width of the lines, in pixels.

    Example:
        >>> mosaic(np.zeros((4, 5, 5, 3))).shape
        (11, 11, 3)
    """
    count, height, width, channels = images.shape
    side = int(np.ceil(np.sqrt(count)))
    canvas = np.ones((side, side, height + gap, width + gap, channels), images.dtype)
    canvas.reshape(-1, *canvas.shape[2:])[:count, :height, :width] = images
    tall = canvas.swapaxes(1, 2).reshape(side * (height + gap), side * (width + gap), channels)
    return tall[: -gap or None, : -gap or None]


def _climb(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    """Does an operation, and remembers how a signal comes down by it."""
    places = [i for i, operand in enumerate(operands) if isinstance(operand, Seen)]
    if not places:
        return evaluate(equation, operands)
    values = [operand.value if isinstance(operand, Seen) else operand for operand in operands]
    if equation.primitive.name == "reduce_window_max":
        results, down = _pool(equation, values[0])
    else:
        results = evaluate(equation, values)
        down = _way_down(equation, values, places)
    return [Seen(result, operands[places[0]], down) for result in results]


def _pool(equation: JaxprEqn, images: Images) -> tuple[list[Array], Callable[[Array], Array]]:
    window, stride = (equation.params[name][1] for name in ("window_dimensions", "window_strides"))
    maxima, switches = max_pool_with_switches(images, window, stride)
    return [maxima], lambda signal: unpool(signal, switches, *images.shape[1:3])


def _way_down(equation: JaxprEqn, values: list[Any], places: list[int]) -> Callable:
    """Returns how a signal comes down by any operation but pooling."""
    name = equation.primitive.name
    # A normalisation's divisor depends on the picture too, but no signal goes down by it.
    if len(places) > 1 and not (name == "div" and places[0] == 0):
        return lambda _: _refuse(f"branches meet in this one ({name})")
    if is_rectifier(equation):
        return jax.nn.relu
    if name == "sub" and places == [1]:
        return lambda signal: -signal
    if name in ("add", "sub", "min"):  # a bias, a mean, and the upper half of ReLU6
        return lambda signal: signal
    if name in LINEAR:
        return _transposed(equation, values, places[0])
    return lambda _: _refuse(f"this one has another operation ({name})")


def _transposed(equation: JaxprEqn, values: list[Any], place: int) -> Callable[[Array], Array]:
    # What a pad fills in came from nowhere, and goes nowhere.
    others = [
        jnp.zeros_like(value) if equation.primitive.name == "pad" else value for value in values
    ]

    def linear(x: Array) -> Array:
        return evaluate(equation, [*others[:place], x, *others[place + 1 :]])[0]

    return lambda signal: jax.linear_transpose(linear, values[place])(signal)[0]


def _refuse(reason: str) -> NoReturn:
    raise UserError(
        "a deconvnet goes down through convolutions, ReLUs and max-pooling, one after the other; "
        + reason
    )
