"""One scene, segmented in every sense of the word."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from jdl.ops.segmentation import majority_vote
from jdl.tasks.drawing import show_image

Labels = Integer[np.ndarray, "height width"]
GROUND = (0.12, 0.12, 0.12)
FINE = 8  # a line beside a pixel


def superpixels(
    image: Float[np.ndarray, "height width 3"], count: int = 150, compactness: float = 10.0
) -> Labels:
    """Cuts an image into small regions of one colour each, by SLIC.

    Args:
        image: in [0, 1].
        count: about how many.
        compactness: how much nearness counts beside colour.

    Returns:
        The number of the region that each pixel is of, from 0.

    Example:
        >>> halves = np.zeros((16, 16, 3))
        >>> halves[:, 8:] = 1
        >>> superpixels(halves, count=4)[0].tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]

    Source: Achanta et al., 2012, https://doi.org/10.1109/TPAMI.2012.120.
    """
    from skimage.segmentation import slic

    return slic(image, n_segments=count, compactness=compactness, start_label=0)


def segmentation_figure(
    image: Float[np.ndarray, "height width 3"],
    regions: Labels,
    semantic: Labels,
    instances: Labels,
    class_names: Sequence[str],
) -> Figure:
    """Draws superpixels, classes, objects, and classes of objects, side by side.

    Args:
        image: in [0, 1].
        regions: the superpixel that a pixel is of, from 0.
        semantic: its class; 0 is background.
        instances: its object, from 1; 0 is background.
        class_names: of the classes.

    Returns:
        The image; its superpixels; the class that most pixels of each superpixel have; semantic,
        instance and panoptic segmentation. In the last, an object has an outline, and the colour
        and the name of the class of most of its pixels.

    Example:
        >>> image, labels = np.zeros((4, 6, 3)), np.zeros((4, 6), int)
        >>> labels[:, 3:] = 1
        >>> figure = segmentation_figure(image, labels, labels, labels, ["ground", "seven"])
        >>> [text.get_text() for text in figure.axes[-1].texts]
        ['seven']

    Source: Kirillov et al., 2019, https://arxiv.org/abs/1801.00868, for the last one.
    """
    objects = np.unique(instances, return_inverse=True)[1].reshape(instances.shape)
    classes = np.where(objects > 0, majority_vote(objects, semantic), 0)
    by_class = np.array([GROUND, *colormaps["tab10"](np.arange(len(class_names) - 1) % 10)[:, :3]])
    by_object = np.array([GROUND, *colormaps["Set2"](np.arange(objects.max()) % 8)[:, :3]])
    pictures = {
        "image": image,
        "superpixels": outlined(image, regions),
        "superpixels, each of one class": by_class[majority_vote(regions, semantic)],
        "semantic: a class for each pixel": by_class[semantic],
        "instance: an object for each pixel": by_object[objects],
        "panoptic: both": outlined(by_class[classes], objects),
    }
    figure = Figure(figsize=(9.6, 6.8), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(2, 3).ravel(), pictures.items()):
        show_image(axes, picture)
        axes.set_title(title, fontsize=10)
    for number in range(1, objects.max() + 1):
        rows, columns = np.nonzero(objects == number)
        name = class_names[classes[rows[0], columns[0]]]
        at = FINE * columns.mean(), FINE * rows.mean()
        text = axes.text(*at, name, color="white", weight="bold", ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=3, foreground="black")])
    return figure


def outlined(
    image: Float[np.ndarray, "height width 3"], regions: Labels
) -> Float[np.ndarray, "tall wide 3"]:
    """Draws white lines around regions, finer than pixels.

    Args:
        image: in [0, 1].
        regions: the number of the region that each pixel is of.

    Returns:
        The image, `FINE` times as large.

    Example:
        >>> halves = np.array([[0, 1]])
        >>> outlined(np.zeros((1, 2, 3)), halves)[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    from skimage.segmentation import find_boundaries

    picture, fine = (x.repeat(FINE, 0).repeat(FINE, 1) for x in (image, regions))
    lines = find_boundaries(fine, mode="thick")[..., None]
    return np.where(lines, 1.0, picture)
