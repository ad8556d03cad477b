import numpy as np
import pytest

from jdl.explore.augmentations import AUGMENTATIONS, MIXTURES, augmentation_figure, augmented

RANDOM = np.random.RandomState(0)
IMAGE, OTHER = RANDOM.uniform(size=(2, 16, 20, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def pictures():
    return augmented(IMAGE, OTHER, draws=6, seed=1)


def test_everything_changes_the_image_and_differs_from_draw_to_draw(pictures):
    assert set(AUGMENTATIONS) | set(MIXTURES) < set(pictures)
    for name, drawn in pictures.items():
        assert drawn.shape == (6, *IMAGE.shape)
        assert 0 <= drawn.min() < drawn.max() <= 1
        assert (drawn != IMAGE).any(), name
        assert len({picture.tobytes() for picture in drawn}) > 1, name


def test_a_seed_repeats_them_and_another_does_not(pictures):
    again, another = augmented(IMAGE, OTHER, draws=6, seed=1), augmented(IMAGE, OTHER, draws=6)
    for name, drawn in pictures.items():
        np.testing.assert_array_equal(drawn, again[name])
        assert (drawn != another[name]).any(), name


def test_colours_are_of_colour_images_alone():
    grey = augmented(IMAGE[..., :1], OTHER[..., :1], draws=1)
    assert set(grey) == set(AUGMENTATIONS) | set(MIXTURES)


def test_every_draw_has_a_place(pictures):
    axes = augmentation_figure(pictures).axes[0]
    assert len(axes.images) == 6 * len(pictures)
    assert [text.get_text() for text in axes.texts][::6] == list(pictures)
