"""Neural style transfer: what is on one picture, painted as another one is."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.explore.dream import octave_shapes, resized

OCTAVES = 2
Picture = Float[Array, "height width channels"]
Maps = Float[Array, "batch rows columns features"]


def gram(maps: Maps) -> Float[Array, "batch features features"]:
    """Tells which features occur together, wherever that is.

        G_ij = 1/M Σₘ F_im F_jm,  over all M pixels m of the maps F                 (1)

    Args:
        maps: F.

    Returns:
        G.

    Example:
        >>> gram(jnp.array([[1.0, 0.0], [1.0, 2.0]]).reshape(1, 1, 2, 2))[0].tolist()
        [[1.0, 1.0], [1.0, 2.0]]

    Source: Gatys et al., 2016, Image style transfer using convolutional neural networks, equation
    3, without its division by M.
    """
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    return jnp.einsum("bmi,bmj->bij", flat, flat) / flat.shape[1]


def total_variation(images: Float[Array, "batch height width channels"]) -> Float[Array, ""]:
    """Measures how rough images are: the mean of the squared steps from pixel to pixel.

    Example:
        >>> float(total_variation(jnp.array([0.0, 0.0, 1.0]).reshape(1, 1, 3, 1)))
        0.5

    Source: Mahendran and Vedaldi, 2015, https://arxiv.org/abs/1412.0035, section 2.
    """
    down, across = jnp.diff(images, axis=1), jnp.diff(images, axis=2)
    steps = jnp.concatenate([down.ravel(), across.ravel()])
    return jnp.square(steps).sum() / max(steps.size, 1)


def style_transfer(
    look: Callable[[Float[Array, "1 height width channels"]], Mapping[str, Maps]],
    content: Picture,
    style: Float[Array, "rows columns channels"],
    *,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    style_weight: float = 1.0,
    smoothness: float = 20.0,
    octaves: int = OCTAVES,
    steps: int = 150,
    learning_rate: float = 0.02,
    advance: Callable[[], None] = lambda: None,
) -> Picture:
    """Changes a picture until its layers hold what they hold of it, and the style of another.

        L_content = mean over layers of ‖F(x) − F(p)‖² / ‖F(p)‖²                    (1)
        L_style = mean over layers of ‖G(x) − G(a)‖² / ‖G(a)‖²                      (2)
        x = argmin L_content + α L_style + β TV(x)                                  (3)

    The divisors, where the paper has fixed ones, have every layer of any network count alike. The
    picture is minimised by Adam, first small and then in its own size, so that large forms are
    painted over as well.

    Args:
        look: pictures in [0, 1] → maps F by name, of all the layers named below.
        content: p, in [0, 1].
        style: a, in [0, 1], of any size.
        content_layers: of (1).
        style_layers: of (2).
        style_weight: α.
        smoothness: β.
        octaves: sizes, each twice the one before it.
        steps: of each octave.
        learning_rate: of Adam: how much of its range a pixel may change in a step.
        advance: called after each step.

    Returns:
        x, in [0, 1].

    Raises:
        UserError: a number is below 1, or no layer is named.

    Example:
        >>> look = Partial(lambda images: {"pixels": images})
        >>> layers = {"content_layers": ["pixels"], "style_layers": ["pixels"]}
        >>> grey, white = jnp.full((8, 8, 1), 0.4), jnp.ones((8, 8, 1))
        >>> painted = style_transfer(look, grey, white, **layers, octaves=1, steps=50)
        >>> bool(0.5 < painted.mean() < 0.9)
        True

    Source: Gatys et al., 2016, section 2, https://arxiv.org/abs/1508.06576.
    """
    if min(octaves, steps) < 1:
        raise UserError(f"style takes at least one octave and step, not {octaves} and {steps}")
    if not content_layers or not style_layers:
        raise UserError("style transfer needs a layer for the content and one for the style")
    look = look if isinstance(look, Partial) else Partial(look)
    weights = {"style": style_weight, "smoothness": smoothness}
    optimizer = optax.adam(learning_rate, b1=0.9, b2=0.99)
    shapes, of_style = (octave_shapes(x.shape[:2], octaves, 2.0) for x in (content, style))
    painted = content
    for shape, style_shape in zip(shapes, of_style):
        model = resized(style, style_shape)
        wanted = _wanted(look, resized(content, shape), model, content_layers, style_layers)
        painted = resized(painted, shape)
        state = optimizer.init(painted)
        for _ in range(steps):
            painted, state = _descend(optimizer, look, wanted, weights, painted, state)
            painted.block_until_ready()
            advance()
    return painted


def style_layers(maps: Mapping[str, tuple[int, ...]]) -> tuple[list[str], list[str]]:
    """Chooses layers for the content and the style.

    Args:
        maps: rows, columns and features of each layer, in the order in which they are computed.

    Returns:
        Of VGG the paper's layers. Of others, for the content the middle one, and for the style the
        first of each size.

    Example:
        >>> style_layers({"a": (8, 8, 3), "b": (8, 8, 5), "c": (4, 4, 5)})
        (['b'], ['a', 'c'])
    """
    if {"relu4_2", "relu5_1"} <= set(maps):
        return ["relu4_2"], [f"relu{stage}_1" for stage in range(1, 6)]
    first = {shape[:2]: name for name, shape in reversed([*maps.items()])}
    names = list(maps)
    return [names[len(names) // 2]], list(first.values())[::-1]


def _wanted(look, content, style, content_layers, style_layers) -> dict[str, Any]:
    seen = jax.jit(lambda look, picture: look(picture[None]))
    of_content, of_style = seen(look, content), seen(look, style)
    return {
        "content": {name: of_content[name] for name in content_layers},
        "style": {name: gram(of_style[name]) for name in style_layers},
    }


def _loss(picture, look, wanted, weights) -> Float[Array, ""]:
    """What (3) minimises."""
    maps = look(picture[None])
    contents = [_distance(maps[name], f) for name, f in wanted["content"].items()]
    styles = [_distance(gram(maps[name]), g) for name, g in wanted["style"].items()]
    roughness = total_variation(picture[None])
    return (
        jnp.stack(contents).mean()
        + weights["style"] * jnp.stack(styles).mean()
        + weights["smoothness"] * roughness
    )


def _distance(x: Array, y: Array) -> Float[Array, ""]:
    return jnp.square(x - y).sum() / (jnp.square(y).sum() + 1e-12)


@partial(jax.jit, static_argnums=0)
def _descend(optimizer, look, wanted, weights, picture, state):
    gradient = jax.grad(_loss)(picture, look, wanted, weights)
    updates, state = optimizer.update(gradient, state)
    return jnp.clip(optax.apply_updates(picture, updates), 0, 1), state
