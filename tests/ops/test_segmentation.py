import numpy as np
import pytest

from jdl.ops.segmentation import border_weights, majority_vote


def test_a_known_case_by_hand():
    instances = np.zeros((5, 9), np.int32)
    instances[1:4, 1:3], instances[1:4, 6:8] = 1, 5
    weights = border_weights(instances, weight=10.0, deviation=2.0)
    # 12 of 45 pixels are of objects.
    assert weights[2, 1] == pytest.approx(45 / (2 * 12))
    rest = 45 / (2 * 33)
    # Three pixels between: 1 + 3, 2 + 2 and 3 + 1 pixels from the two.
    np.testing.assert_allclose(weights[2, 3:6], rest + 10 * np.exp(-(4**2) / (2 * 2**2)))
    # In the corner: one and one pixel from the first, and six and one from the second.
    far = np.sqrt(2) + np.sqrt(37)
    assert weights[0, 0] == pytest.approx(rest + 10 * np.exp(-(far**2) / 8))


def test_by_definition_for_objects_of_any_shape():
    rng = np.random.default_rng(0)
    instances = rng.choice([0, 0, 0, 0, 0, 1, 2, 3], (12, 10))
    found = border_weights(instances)
    places = np.stack(np.indices(instances.shape), -1)
    share = np.mean(instances == 0)
    for place in np.ndindex(*instances.shape):
        distances = sorted(
            np.linalg.norm(places[instances == i] - place, axis=1).min() for i in (1, 2, 3)
        )
        if instances[place]:
            expected = 0.5 / (1 - share)
        else:
            expected = 0.5 / share + 10 * np.exp(-((distances[0] + distances[1]) ** 2) / 50)
        assert found[place] == pytest.approx(expected)


def test_both_classes_weigh_the_same_and_the_mean_is_one_without_borders():
    instances = np.zeros((8, 8), np.uint8)
    instances[:2, :4] = 1
    weights = border_weights(instances)
    assert weights.mean() == pytest.approx(1)
    assert weights[instances == 0].sum() == pytest.approx(weights[instances == 1].sum())


@pytest.mark.parametrize("everywhere", [0, 3])
def test_one_class_alone_weighs_one(everywhere):
    assert (border_weights(np.full((3, 4), everywhere)) == 1).all()


def test_a_region_has_the_label_of_most_of_its_pixels():
    rng = np.random.default_rng(0)
    regions, labels = rng.integers(0, 6, (9, 11)), rng.integers(0, 4, (9, 11))
    regions[regions == 3] = 7  # numbers need not be without gaps
    voted = majority_vote(regions, labels)
    for region in np.unique(regions):
        here = labels[regions == region]
        assert (voted[regions == region] == np.bincount(here).argmax()).all()
    every = np.arange(99).reshape(9, 11)
    np.testing.assert_array_equal(majority_vote(every, labels), labels)
