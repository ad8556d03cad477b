import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

TINY = {
    "channels": 8,
    "channel_multipliers": (1, 2),
    "num_res_blocks": 1,
}
NAMES = ["ncsnpp", "ddpmpp"]


def made(name, **options):
    model = jdl.create_model(name, **TINY, **options)
    images = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))
    levels = jnp.array([0.5, 4.0])
    variables = jax.jit(model.init)(jax.random.key(0), images, levels)
    random = np.random.RandomState(7)
    # What starts at zero has an effect, too.
    shaken = jax.tree.map(lambda p: p + 0.1 * random.randn(*p.shape).astype("f"), variables)
    return model, variables, shaken, images, levels


@pytest.mark.parametrize("name", NAMES)
def test_starts_by_predicting_nothing_and_has_the_images_shape(name):
    model, variables, shaken, images, levels = made(name)
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(variables, images, levels), np.zeros(images.shape))
    answer = apply(shaken, images, levels)
    assert abs(answer).min() > 0
    assert not jnp.allclose(answer, apply(shaken, images, 3 * levels), rtol=0.01)


def test_ncsnpp_sees_the_image_at_every_level_and_divides_by_the_noise():
    model, variables, shaken, images, levels = made("ncsnpp")
    assert shaken["params"]["down.0.image"]["kernel"].shape == (3, 3, 3, 8)
    assert "down.0.image" not in made("ddpmpp")[1]["params"]
    quiet = jax.tree.map(jnp.zeros_like, variables["params"])
    quiet["conv_out"]["bias"] = jnp.ones(3)
    answer = jax.jit(model.apply)({"params": quiet}, images, levels)
    np.testing.assert_allclose(answer, (1 / levels)[:, None, None, None] * np.ones(images.shape))


def test_frequencies_are_not_trained():
    model, _, shaken, images, levels = made("ncsnpp")
    gradient = jax.jit(jax.grad(lambda p: model.apply(p, images, levels).sum()))
    gradients = gradient(shaken)["params"]
    assert (gradients["fourier"]["W"] == 0).all()
    assert all(abs(leaf).max() > 0 for leaf in jax.tree.leaves({**gradients, "fourier": {}}))


def test_attention_once_a_level_on_the_way_up_and_after_every_block_on_the_way_down():
    parameters = jax.eval_shape(
        jdl.create_model("ncsnpp").init,
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
        jnp.ones(1),
    )["params"]
    attention = {name for name in parameters if "attention" in name}
    down = {f"down.1.{i}.attention" for i in range(4)}
    assert attention == down | {"mid.attention", "up.2.attention"}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_cannot_be_halved_are_refused(name):
    with pytest.raises(UserError, match="multiples of 8, not 28x30; the nearest are 32x32"):
        jdl.create_model(name).init(jax.random.key(0), jnp.zeros((1, 28, 30, 3)), jnp.ones(1))
