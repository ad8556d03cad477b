"""Why a network says what it says of a picture: every map of it that there is, side by side."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image

from jdl.errors import UserError
from jdl.explore.attention import attention_layers, attention_map
from jdl.explore.deconvnet import around_grey, deconvnet, strongest
from jdl.explore.interpreter import count_rectifiers
from jdl.explore.networks import Network
from jdl.explore.predictions import Answers, best_answers
from jdl.explore.saliency import guided_gradient, input_gradient, saliency_map
from jdl.tasks.drawing import show_image

Picture = Float[np.ndarray, "height width _"]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a network says of a picture, and what of it counts.

    Attributes:
        picture: in [0, 1].
        answers: the most probable classes, best first, with their probabilities.
        maps: pictures of the same size, in [0, 1], by what they show.
    """

    picture: Picture
    answers: Answers
    maps: dict[str, Picture]


def explainer(network: Network) -> Callable[[Picture], Explanation]:
    """Prepares to explain what a network says of pictures.

    The maps, for the most probable class: the gradient's size at each pixel; guided backpropagation
    where there are ReLUs; the deconvnet's projection of the strongest activation of the last layer
    of maps, where the network is one layer after the other; attention, rolled out, where there is
    any among all tokens.

    Args:
        network: what is to be explained.

    Returns:
        The function from a picture, as `Network.read` gives it, to its explanation.
    """
    images = jax.ShapeDtypeStruct((1, *network.shape), jnp.float32)
    gradient = jax.jit(input_gradient)
    maps: dict[str, Callable] = {
        "gradient": lambda score, x: heat(saliency_map(gradient(score, x))[0], x[0])
    }
    if count_rectifiers(network.probabilities, images):
        guided = jax.jit(guided_gradient)
        maps["guided backpropagation"] = lambda score, x: contrast(guided(score, x)[0])
    layers = network.maps(*network.shape[:2])
    if layers:
        last = list(layers)[-1]
        look = network.look([last])

        @jax.jit
        def project(look, x):
            return deconvnet(lambda x: look(x)[last], x, strongest)

        try:
            jax.eval_shape(project, look, images)
            maps[f"deconvnet from {last}"] = lambda _, x: contrast(project(look, x)[0])
        except UserError:
            pass  # Not one layer after the other.
    if attention_layers(network.model, network.variables, images):

        @jax.jit
        def attention(variables, x):
            return attention_map(network.model, variables, network.normalize(x))

        maps["attention, rolled out"] = lambda _, x: heat(attention(network.variables, x)[0], x[0])
    classify = jax.jit(lambda probabilities, x: probabilities(x))

    def explain(picture: Picture) -> Explanation:
        x = jnp.asarray(picture)[None]
        probabilities = np.asarray(classify(network.probabilities, x))
        (answers,) = best_answers(probabilities, 5, network.class_names)
        score = network.score(int(probabilities[0].argmax()))
        return Explanation(
            picture, answers, {name: np.asarray(draw(score, x)) for name, draw in maps.items()}
        )

    return explain


def heat(values: Any, picture: Any) -> Picture:
    """Lays non-negative numbers over a picture: it is dark where they are small.

    Args:
        values: [rows, columns], of any resolution; above 99 % of them, all count as the largest.
        picture: [height, width, channels], in [0, 1].

    Returns:
        In [0, 1], in colours.

    Example:
        >>> heat(np.array([[0.0, 1.0]]), np.ones((2, 4, 1))).shape
        (2, 4, 3)
    """
    values, picture = np.asarray(values, np.float32), np.asarray(picture)
    height, width = picture.shape[:2]
    values = np.clip(values / max(np.percentile(values, 99), 1e-12), 0, 1)
    large = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    colours = matplotlib.colormaps["inferno"](np.clip(np.asarray(large), 0, 1))[..., :3]
    grey = picture.mean(-1, keepdims=True)
    return np.clip(0.25 * grey + 0.85 * colours, 0, 1)


def contrast(signal: Any) -> Picture:
    """Shows a signed signal around grey; what is beyond 99.5 % of it is cut off.

    Args:
        signal: [height, width, channels], of any range.

    Returns:
        In [0, 1].

    Example:
        >>> contrast(np.array([-1.0, 0.0, 1.0]).reshape(1, 3, 1)).ravel().tolist()
        [0.0, 0.5, 1.0]
    """
    signal = np.asarray(signal)
    limit = np.percentile(np.abs(signal), 99.5)
    return around_grey(np.clip(signal, -limit, limit))


def explanation_figure(explanation: Explanation) -> Figure:
    """Draws a picture, its most probable classes, and what of it counts.

    Args:
        explanation: of one picture.

    Returns:
        The figure: the picture first, then each map.

    Example:
        >>> grey = np.full((8, 8, 3), 0.5)
        >>> figure = explanation_figure(Explanation(grey, [("cat", 0.9)], {"gradient": grey}))
        >>> [axes.get_title() for axes in figure.axes]
        ['cat 90.0 %', 'gradient']
    """
    name, probability = explanation.answers[0]
    shown = {f"{name} {100 * probability:.1f} %": explanation.picture, **explanation.maps}
    figure = Figure(figsize=(3.1 * len(shown), 3.5), layout="constrained")
    row = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (title, picture) in zip(row, shown.items()):
        show_image(axes, picture)
        axes.set_title(title, fontsize=10)
    return figure
