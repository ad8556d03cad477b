"""Pictures of any size by tiles: without seams, and by one program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jdl
from jdl.explore.restoration import HALO, TILE, count_tiles, restore_picture
from jdl.tasks.restoration import Restoration

RANDOM = np.random.default_rng(0)


def trained(**options):
    """A U-Net that changes what it sees, everywhere in another way."""
    images = RANDOM.integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    model = jdl.create_model("unet_same", features=(2, 3, 4), num_classes=3, dropout=0.0)
    halve = lambda key, image: image[::2, ::2]
    task = Restoration(model, optax.sgd(0.1), halve, images, **options)
    batch = {"image": jnp.asarray(images), "row": jnp.zeros(1, int)}
    return task, jax.jit(task.init)(jax.random.key(0), batch)


@pytest.mark.parametrize("size", [(203, 171), (37, 300)])
def test_tiles_are_the_whole_picture(size):
    task, state = trained()
    picture = RANDOM.random((*size, 3), np.float32)
    restored = restore_picture(task, state, picture)
    assert restored.shape == picture.shape
    # Mirrored on all sides as tiles see it, up to a size that can be halved twice.
    beyond = [(HALO, HALO + -n % 4) for n in size]
    whole = task.restore(state, jnp.pad(picture, [*beyond, (0, 0)], mode="reflect")[None])[0]
    whole = np.clip(whole[HALO : HALO + size[0], HALO : HALO + size[1]], 0, 1)
    np.testing.assert_allclose(restored, whole, rtol=0, atol=1e-5)
    assert np.abs(restored - picture).mean() > 0.01


def test_one_program_for_all_pictures_and_twice_as_many_pixels():
    task, state = trained(scale=2, enlarged=True, prediction="direct")
    before = Restoration.restore._cache_size()
    tiles = []
    for size in [(170, 9), (1, 3), (33, 165)]:
        picture = RANDOM.random((*size, 3), np.float32)
        tiles.clear()
        restored = restore_picture(task, state, picture, lambda: tiles.append(1))
        assert restored.shape == (2 * size[0], 2 * size[1], 3)
        assert 0 <= restored.min() <= restored.max() <= 1
        assert len(tiles) == count_tiles(size)
    assert Restoration.restore._cache_size() == before + 1
    assert count_tiles((170, 9)) == count_tiles((33, 165)) == 2
    assert count_tiles((TILE, TILE)) == 4
