import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jdl.errors import UserError
from jdl.explore.dream import (
    activation_maximization,
    deep_dream,
    dream_objective,
    excitement,
    likeness,
    octave_shapes,
    smooth,
)
from jdl.explore.networks import Network


class Colours(nn.Module):
    """Convolves, and takes the means of channels for logits."""

    @nn.compact
    def __call__(self, images):
        if images.shape[1] < 6:
            raise UserError(f"too small: {images.shape[1]}")
        x = nn.relu(nn.Conv(4, (3, 3), (2, 2), name="conv")(images))
        self.sow("intermediates", "relu", x)
        self.sow("intermediates", "pooled", x.mean((1, 2)))
        return images.mean((1, 2))


def colours():
    model = Colours()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    variables = {"params": variables["params"]}
    names = ("red", "green", "blue")
    return Network("colours", model, variables, lambda x: 2 * x, (8, 8, 3), names)


def test_a_dream_excites_its_layer():
    network = colours()
    picture = jax.random.uniform(jax.random.key(1), (24, 18, 3), minval=0.4, maxval=0.6)
    objective = dream_objective(network, [(12, 9), (24, 18)])
    advanced = []
    options = {"octaves": 2, "octave_scale": 2.0, "steps": 5, "jitter": 3}
    dreamt = deep_dream(objective, picture, **options, advance=lambda: advanced.append(1))
    assert len(advanced) == 10
    assert dreamt.shape == picture.shape
    assert 0 <= float(dreamt.min()) <= float(dreamt.max()) <= 1
    assert float(objective(dreamt[None])) > 1.5 * float(objective(picture[None]))
    again = deep_dream(objective, picture, **options)
    np.testing.assert_array_equal(again, dreamt)


def test_towards_a_class_the_picture_becomes_it():
    network = colours()
    objective = dream_objective(network, [(12, 12)], towards="Green")
    picture = activation_maximization(objective, (12, 12, 3), octaves=1, steps=8)
    red, green, blue = picture.mean((0, 1))
    assert green > 0.55
    assert max(red, blue) < 0.52
    by_number = dream_objective(network, [(12, 12)], towards="1")
    assert float(by_number(picture[None])) == float(objective(picture[None]))


def test_what_the_network_does_not_have_is_refused_with_the_nearest():
    network = colours()
    with pytest.raises(UserError, match="layer of colours 'rlu'; the closest names are relu"):
        dream_objective(network, [(8, 8)], ["rlu"])
    with pytest.raises(UserError, match="unknown layer of colours 'pooled'"):
        dream_objective(network, [(8, 8)], ["pooled"])
    with pytest.raises(UserError, match="class of colours 'gren'; the closest names are green"):
        dream_objective(network, [(8, 8)], towards="gren")
    with pytest.raises(UserError, match="class of colours '3'"):
        dream_objective(network, [(8, 8)], towards="3")
    with pytest.raises(UserError, match="an octave has 4×4 pixels, but too small: 4"):
        dream_objective(network, [(4, 4), (8, 8)])
    with pytest.raises(UserError, match="not 0 and 10"):
        deep_dream(lambda x: x.mean(), jnp.zeros((8, 8, 3)), octaves=0)
    with pytest.raises(UserError, match="1×5 pixels is too small for 4 octaves"):
        octave_shapes((1, 5), 4)


def test_details_come_back_in_larger_octaves():
    """Where nothing excites, the picture is what it was, to its last detail."""
    picture = jax.random.uniform(jax.random.key(0), (20, 28, 3))
    nothing = lambda images: 0.0 * images.sum()
    dreamt = deep_dream(nothing, picture, octaves=3, steps=1)
    np.testing.assert_allclose(dreamt, picture, atol=0.12)
    assert float(jnp.abs(dreamt - picture).mean()) < 0.01


def test_a_shift_of_the_picture_shifts_with_it():
    """A step is the same wherever the picture's torus is cut open."""
    objective = lambda images: jnp.square(images[:, 1:] - images[:, :-1]).sum()
    x = jax.random.uniform(jax.random.key(0), (16, 16, 1), minval=0.3, maxval=0.7)
    mean = jnp.stack(
        [
            deep_dream(objective, x, octaves=1, steps=1, key=jax.random.key(k), jitter=8)
            for k in range(40)
        ]
    ).mean(0)
    plain = deep_dream(objective, x, octaves=1, steps=1, jitter=0)
    # Without jitter the first and last rows have one neighbour only; with it, all are alike.
    change = lambda y: np.abs(np.asarray(y - x)).mean((1, 2))
    assert change(plain)[0] < 0.8 * change(plain)[4:12].mean()
    assert change(mean)[0] > 0.8 * change(mean)[4:12].mean()


def test_smoothing_weakens_by_frequency():
    rows = jnp.arange(16) / 16
    for cycles in (0, 1, 2, 5):
        wave = jnp.cos(2 * jnp.pi * cycles * rows)[None, :, None, None] * jnp.ones((1, 1, 12, 2))
        for exponent in (0.0, 1.0, 2.0):
            expected = wave / max(cycles, 1) ** exponent
            np.testing.assert_allclose(smooth(wave, exponent), expected, atol=1e-5)


def test_objectives_add_up():
    look = Partial(lambda x: {"a": 2 * x, "b": x[:, :1]})
    x = jnp.full((1, 2, 2, 1), 0.5)
    assert float(excitement(look)(x)) == pytest.approx(1.25)
    assert float(likeness(Partial(lambda x: x.sum((1, 2, 3))))(x)) == pytest.approx(2.0)
