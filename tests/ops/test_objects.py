import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jdl.ops.objects import connected_components, contacts, match_objects, trimap


@pytest.mark.parametrize("share", [0.2, 0.45, 0.8])
def test_components_are_scipys(share):
    mask = np.random.RandomState(0).rand(31, 40) < share
    ours = np.asarray(jax.jit(connected_components)(jnp.asarray(mask)))
    theirs, count = ndimage.label(mask, np.ones((3, 3)))
    # The same parts, by other numbers.
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist()))
    assert len(pairs) == count + 1 == len(np.unique(ours))
    assert (0, 0) in pairs


def test_a_long_way_round_is_one_component():
    spiral = np.zeros((9, 9), bool)
    spiral[0] = spiral[:, 8] = spiral[8] = spiral[2:, 0] = True
    spiral[2, :7] = spiral[2:7, 6] = spiral[6, 2:7] = True
    labels = connected_components(jnp.asarray(spiral))
    assert len(np.unique(labels)) == ndimage.label(spiral, np.ones((3, 3)))[1] + 1 == 2


def test_objects_touch_at_sides_and_corners():
    instances = jnp.array([[1, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0], [0, 0, 0, 3]])
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert contacts(instances).astype(int).tolist() == expected
    assert not contacts(instances * (instances != 2)).any()


def test_objects_are_found_above_half_of_what_either_covers():
    truth = np.zeros((6, 10), np.int32)
    truth[0, :4], truth[2, :4], truth[4, :3], truth[4, 3:6] = 1, 2, 3, 4
    predicted = np.zeros_like(truth)
    predicted[0, :3] = 7  # 3 of 4 pixels
    predicted[2, :8] = 9  # all of it and as much again: half is not enough
    predicted[4, :6] = 11  # two in one
    predicted[5, 9] = 12  # nothing there
    match = match_objects(jnp.asarray(predicted), jnp.asarray(truth), most=5)
    assert match.found.tolist() == [True, False, False, False, False]
    assert match.present.tolist() == [True] * 4 + [False]
    assert int(match.proposed) == 4


@pytest.mark.parametrize("distance", [1, 2])
def test_trimap_is_where_another_class_is_near(distance):
    classes = np.random.default_rng(0).choice([0, 0, 0, 0, 3, 7], (2, 6, 9)).repeat(2, 1)
    found = trimap(jnp.array(classes), distance)
    for image, place in itertools.product(range(2), np.ndindex(12, 9)):
        rows, columns = (slice(max(0, i - distance), i + distance + 1) for i in place)
        other = (classes[image, rows, columns] != classes[image][place]).any()
        assert found[image][place] == other
