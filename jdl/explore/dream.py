"""Pictures that a network would like better: DeepDream, and what a class or a layer looks for."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax.errors import FlaxError
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jdl.errors import UserError, unknown
from jdl.explore.networks import Network

Images = Float[Array, "batch height width channels"]
# What is to become large; a `jax.tree_util.Partial` keeps weights out of the compiled program.
Objective = Callable[[Images], Float[Array, ""]]


def deep_dream(
    objective: Objective,
    picture: Float[Array, "height width channels"],
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    step_size: float = 0.01,
    jitter: int = 32,
    smoothness: float = 1.0,
    key: Key[Array, ""] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Float[Array, "height width channels"]:
    """Has a picture grow what excites a network, from its coarse forms to its fine ones.

    The picture is shrunk to the first octave, changed, enlarged to the next, given back the details
    that had been lost, changed again, and so on. Each change follows the smoothed gradient:

        xₒ ← enlarge(xₒ₋₁) + pₒ − enlarge(shrink(pₒ)),  pₒ the picture at octave o  (1)
        x ← x + η · g / mean|g|,  g = smooth(∂L(roll(x, s))/∂x)                     (2)

    with another shift s at each step, so that no grid of the network's strides shows.

    Args:
        objective: L, of a batch of one picture in [0, 1].
        picture: in [0, 1].
        octaves: sizes.
        octave_scale: from one octave to the next.
        steps: of each octave.
        step_size: η: how much a pixel changes in a step, in the mean.
        jitter: largest shift, in pixels.
        smoothness: of the gradient, the exponent of `smooth`.
        key: of the shifts; the same ones every time when None.
        advance: called after each step.

    Returns:
        The picture, changed; in [0, 1].

    Raises:
        UserError: a number is below 1, or the picture too small for so many octaves.

    Example:
        >>> redness = lambda images: images[..., 0].mean() - images[..., 1:].mean()
        >>> grey = jnp.full((8, 8, 3), 0.5)
        >>> dreamt = deep_dream(redness, grey, octaves=2, steps=2)
        >>> (dreamt[..., 0] > 0.5).all().item(), (dreamt[..., 1] < 0.5).all().item()
        (True, True)

    Source: Mordvintsev, Olah and Tyka, 2015,
    https://research.google/blog/inceptionism-going-deeper-into-neural-networks.
    """
    if min(octaves, steps) < 1:
        raise UserError(f"a dream has at least one octave and one step, not {octaves} and {steps}")
    objective = objective if isinstance(objective, Partial) else Partial(objective)
    key = jax.random.key(0) if key is None else key
    shapes = octave_shapes(picture.shape[:2], octaves, octave_scale)
    dreamt = resized(picture, shapes[0])
    for octave, shape in enumerate(shapes):
        if octave:
            here = resized(picture, shape)
            lost = here - resized(resized(here, shapes[octave - 1]), shape)
            dreamt = jnp.clip(resized(dreamt, shape) + lost, 0, 1)
        for step in range(steps):
            shift = jax.random.randint(
                jax.random.fold_in(key, octave * steps + step), (2,), -jitter, jitter + 1
            )
            dreamt = _ascend(objective, dreamt, shift, step_size, smoothness)
            dreamt.block_until_ready()
            advance()
    return dreamt


def activation_maximization(
    objective: Objective,
    shape: tuple[int, int, int],
    *,
    octaves: int = 4,
    steps: int = 40,
    step_size: float = 0.01,
    jitter: int = 16,
    smoothness: float = 1.0,
    key: Key[Array, ""] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Float[Array, "height width channels"]:
    """Draws, out of faint noise, what a unit, a layer or a class answers to most.

    A dream of a grey picture, with more steps: equations (1) and (2) of `deep_dream`.

    Args:
        objective: what is to become large, of a batch of one picture in [0, 1].
        shape: height, width and channels of the picture.
        octaves: sizes.
        steps: of each.
        step_size: how much a pixel changes in a step, in the mean.
        jitter: largest shift, in pixels.
        smoothness: of the gradient, the exponent of `smooth`.
        key: of the noise and the shifts.
        advance: called after each step.

    Returns:
        The picture, in [0, 1].

    Example:
        >>> left = lambda images: images[:, :, :4].mean() - images[:, :, 4:].mean()
        >>> picture = activation_maximization(left, (8, 8, 1), octaves=1, steps=2, jitter=0)
        >>> bool(picture[:, :3].mean() > 0.5 > picture[:, 5:].mean())
        True

    Source: Erhan et al., 2009, Visualizing higher-layer features of a deep network, section 3;
    Simonyan et al., 2014, https://arxiv.org/abs/1312.6034, section 2.
    """
    key = jax.random.key(0) if key is None else key
    noise, shifts = jax.random.split(key)
    picture = 0.5 + 0.02 * jax.random.normal(noise, shape)
    return deep_dream(
        objective,
        picture,
        octaves=octaves,
        steps=steps,
        step_size=step_size,
        jitter=jitter,
        smoothness=smoothness,
        key=shifts,
        advance=advance,
    )


def octave_shapes(shape: Sequence[int], octaves: int, scale: float = 1.4) -> list[tuple[int, int]]:
    """Lists the sizes of a dream, the smallest first.

    Args:
        shape: height and width of the last one, in pixels.
        octaves: how many sizes.
        scale: from one to the next.

    Returns:
        Height and width of each.

    Raises:
        UserError: no octave, or nothing would be left of the picture.

    Example:
        >>> octave_shapes((384, 384), 4)
        [(140, 140), (196, 196), (274, 274), (384, 384)]
    """
    if octaves < 1:
        raise UserError(f"a dream has at least one octave, not {octaves}")
    height, width = shape
    factors = [scale ** (octave + 1 - octaves) for octave in range(octaves)]
    if min(shape) * factors[0] < 1:
        raise UserError(f"a picture of {height}×{width} pixels is too small for {octaves} octaves")
    return [(round(height * factor), round(width * factor)) for factor in factors]


def smooth(images: Images, exponent: float | Float[Array, ""]) -> Images:
    """Weakens what is fine in images in favour of what is coarse.

        ŷ(f) = x̂(f) / max(|f|, 1)^p                                                 (1)

    at frequency f, in cycles across the picture. The amplitudes of photographs fall off with p = 1:
    a step along a gradient smoothed so is one in coordinates in which all frequencies of a
    photograph count alike.

    Args:
        images: x.
        exponent: p; 0 leaves them as they are.

    Returns:
        y.

    Example:
        >>> checks = jnp.array([[1.0, -1.0], [-1.0, 1.0]]).reshape(1, 2, 2, 1)
        >>> smooth(1 + checks, 2.0).ravel().round(2).tolist()  # the finest there is: |f|² = 2
        [1.5, 0.5, 0.5, 1.5]

    Source: Olah et al., 2017, https://distill.pub/2017/feature-visualization, "Preconditioning and
    parameterization".
    """
    height, width = images.shape[1:3]
    down, across = jnp.fft.fftfreq(height) * height, jnp.fft.rfftfreq(width) * width
    frequency = jnp.sqrt(down[:, None] ** 2 + across[None] ** 2)
    weights = jnp.maximum(frequency, 1.0)[None, :, :, None] ** -exponent
    spectrum = jnp.fft.rfft2(images, axes=(1, 2))
    return jnp.fft.irfft2(spectrum * weights, (height, width), axes=(1, 2))


@jax.jit
def _ascend(objective, picture, shift, step_size, smoothness):
    """One step (2)."""
    gradient = jax.grad(lambda x: objective(jnp.roll(x, shift, (0, 1))[None]))(picture)
    gradient = smooth(gradient[None], smoothness)[0]
    return jnp.clip(picture + step_size * gradient / (jnp.abs(gradient).mean() + 1e-12), 0, 1)


@partial(jax.jit, static_argnums=1)
def resized(
    picture: Float[Array, "height width channels"], shape: tuple[int, int]
) -> Float[Array, "rows columns channels"]:
    """Resizes a picture, over all pixels that it covers where it shrinks.

    Example:
        >>> resized(jnp.ones((4, 4, 1)), (2, 3)).shape
        (2, 3, 1)
    """
    return jax.image.resize(picture, (*shape, picture.shape[-1]), "linear")


def dream_objective(
    network: Network,
    shapes: Sequence[tuple[int, int]],
    layers: Sequence[str] = (),
    towards: str | None = None,
) -> Partial:
    """Makes an objective of what a person names.

    Args:
        network: that is to be excited.
        shapes: height and width of the octaves.
        layers: to excite; `dream_layers` when there is none.
        towards: name or number of a class, instead of layers.

    Returns:
        The objective.

    Raises:
        UserError: there is no such layer or class, with the nearest that there are; or the network
            takes no images in the size of an octave.
    """
    for height, width in shapes:
        try:
            maps = network.maps(height, width)
        # Networks that check no sizes fail in many ways where they are given another one.
        except (FlaxError, ArithmeticError, TypeError, ValueError) as error:
            known = isinstance(error, UserError)
            reason = error if known else f"{network.name} takes {network.shape[:2]}"
            raise UserError(
                f"an octave has {height}×{width} pixels, but {reason}; --octaves 1 has one size"
            ) from None
    if towards is not None:
        return likeness(network.score(network.class_number(towards)))
    for name in layers:
        if name not in maps:
            raise unknown(f"layer of {network.name}", name, maps)
    return excitement(network.look(layers or dream_layers(list(maps))))


def excitement(look: Partial) -> Partial:
    """Makes an objective of layers: how strongly they are excited, by whatever it is.

        L(x) = Σ over layers of mean(a²)                                            (1)

    Args:
        look: images → activations a by name.

    Returns:
        L.

    Example:
        >>> look = Partial(lambda images: {"mean": images.mean((1, 2))})
        >>> float(excitement(look)(jnp.full((1, 2, 2, 1), 0.5)))
        0.25

    Source: Mordvintsev et al., 2015.
    """
    return Partial(_excitement, look)


def _excitement(look: Callable, images: Images) -> Float[Array, ""]:
    return jnp.stack([jnp.square(a).mean() for a in look(images).values()]).sum()


def likeness(score: Partial) -> Partial:
    """Makes an objective of a score, such as the logit of a class.

    Args:
        score: images → a number of each.

    Returns:
        Their sum.

    Example:
        >>> float(likeness(Partial(lambda images: images.mean((1, 2, 3))))(jnp.ones((1, 2, 2, 1))))
        1.0

    Source: Simonyan et al., 2014, https://arxiv.org/abs/1312.6034, section 2.
    """
    return Partial(_likeness, score)


def _likeness(score: Callable, images: Images) -> Float[Array, ""]:
    return score(images).sum()


def dream_layers(maps: Sequence[str]) -> list[str]:
    """Chooses layers to dream of: two in the deeper half, where forms are, and no longer textures.

    Args:
        maps: names of the layers, in the order in which they are computed.

    Example:
        >>> dream_layers(["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "head"])
        ['stage3', 'stage4']
    """
    middle = len(maps) // 2
    return list(maps[middle : middle + 2])
