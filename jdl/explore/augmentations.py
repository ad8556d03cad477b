"""What every augmentation makes of one image, on one page."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jdl.data import augment
from jdl.data.augment import Augmentation
from jdl.data.colours import colour_jitter, pca_colours
from jdl.data.mixing import Mixture, cutmix, mixup
from jdl.data.noise import gaussian_noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = Float[np.ndarray, "height width channels"]

AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": augment.random_flip,
    "crop": augment.random_crop,
    "rotation": partial(augment.random_affine, rotation=25.0),
    "zoom": partial(augment.random_zoom, largest=1.4),
    "affine": partial(
        augment.random_affine, rotation=12.0, scale=0.15, translation=2.0, shear=15.0
    ),
    "elastic": augment.random_elastic,
    "brightness": partial(augment.random_brightness, max_delta=0.4),
    "contrast": partial(augment.random_contrast, lower=0.4, upper=1.6),
    "noise": partial(gaussian_noise, deviation=0.15),
    "erasing": partial(augment.random_erasing, probability=1.0),
}
"""What any image can be augmented by, at strengths that can be seen."""

COLOUR_AUGMENTATIONS: dict[str, Augmentation] = {
    "PCA colours": partial(pca_colours, deviation=1.0),
    "colour jitter": partial(colour_jitter, brightness=0.4, contrast=0.4, saturation=0.8),
}
"""And by what RGB images can."""

MIXTURES: dict[str, Mixture] = {"mixup": mixup, "cutmix": cutmix}
"""And by what two can."""


def augmented(
    image: Picture, other: Picture, *, draws: int = 8, seed: int = 0
) -> dict[str, Float[np.ndarray, "draws height width channels"]]:
    """Augments an image again and again, by everything that it can be augmented by.

    Args:
        image: in [0, 1].
        other: of the same size, to mix it with.
        draws: of each augmentation.
        seed: of the draws.

    Returns:
        Pictures in [0, 1] by the name of the augmentation.

    Example:
        >>> black, white = (np.full((16, 16, 1), value, np.float32) for value in (0, 1))
        >>> pictures = augmented(black, white)
        >>> len(pictures), pictures["cutmix"].shape
        (12, (8, 16, 16, 1))
    """
    keys = jax.random.split(jax.random.key(seed), draws)
    functions = AUGMENTATIONS | (COLOUR_AUGMENTATIONS if image.shape[-1] == 3 else {})
    made = {
        name: jax.vmap(function, (0, None))(keys, jnp.asarray(image))
        for name, function in functions.items()
    }
    for name, mixture in MIXTURES.items():
        made[name], _ = jax.vmap(mixture, (0, None, None))(
            keys, jnp.asarray(image), jnp.asarray(other)
        )
    return {name: np.clip(np.asarray(pictures), 0, 1) for name, pictures in made.items()}


def augmentation_figure(pictures: Mapping[str, np.ndarray]) -> "Figure":
    """Draws what `augmented` gives: a row for each augmentation, a column for each draw.

    Args:
        pictures: [draws, height, width, channels] in [0, 1], by name.

    Returns:
        The figure.

    Example:
        >>> figure = augmentation_figure({"flip": np.zeros((3, 8, 8, 1))})
        >>> len(figure.axes[0].images), [text.get_text() for text in figure.axes[0].texts]
        (3, ['flip', '', ''])
    """
    from jdl.tasks.drawing import image_grid

    draws = len(next(iter(pictures.values())))
    titles = [title for name in pictures for title in (name, *[""] * (draws - 1))]
    images = np.concatenate(list(pictures.values()))
    return image_grid(images, columns=draws, titles=titles)
