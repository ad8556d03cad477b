import numpy as np
import pytest

from jdl.explore.segmentations import FINE, GROUND, outlined, segmentation_figure, superpixels


def test_superpixels_follow_edges():
    image = np.full((24, 24, 3), 0.1)
    image[6:19, 5:16] = (0.9, 0.5, 0.1)
    regions = superpixels(image, count=9)
    assert regions.shape == (24, 24)
    inside = np.zeros((24, 24), bool)
    inside[6:19, 5:16] = True
    # No superpixel has more than a few pixels on the other side of the edge.
    for region in np.unique(regions):
        share = inside[regions == region].mean()
        assert min(share, 1 - share) < 0.1


def test_panoptic_is_the_class_of_most_pixels_of_each_object():
    image = np.full((12, 16, 3), 0.3)
    instances = np.zeros((12, 16), np.int32)
    instances[2:10, 1:6], instances[4:9, 8:15] = 40, 7  # numbers as connected components give them
    semantic = np.where(instances == 40, 2, np.where(instances == 7, 1, 0))
    semantic[2:4, 1:6] = 1  # some pixels of the first object are taken for the second's class
    figure = segmentation_figure(image, instances, semantic, instances, ["ground", "one", "six"])
    shown = {axes.get_title(): np.asarray(axes.images[0].get_array()) for axes in figure.axes}
    first, second = shown["semantic: a class for each pixel"][[8, 8], [2, 10]]
    assert not np.allclose(first, second)
    both = shown["panoptic: both"][FINE // 2 :: FINE, FINE // 2 :: FINE]
    np.testing.assert_allclose(both[instances == 40], np.tile(first, (40, 1)))
    np.testing.assert_allclose(both[instances == 7], np.tile(second, (35, 1)))
    np.testing.assert_allclose(both[instances == 0], np.tile(GROUND, (117, 1)))
    objects = shown["instance: an object for each pixel"]
    assert len(np.unique(objects.reshape(-1, 3), axis=0)) == 3
    assert [text.get_text() for text in figure.axes[-1].texts] == ["one", "six"]


@pytest.mark.parametrize("number", [1, 5])
def test_one_region_has_no_outline(number):
    picture = outlined(np.full((3, 4, 3), 0.5), np.full((3, 4), number))
    assert (picture == 0.5).all()
    assert picture.shape == (3 * FINE, 4 * FINE, 3)
