import jax
import jax.numpy as jnp
import numpy as np

from jdl.models.vision.neocognitron import Neocognitron, reinforce

KEY = jax.random.key(0)


def bar(angle, size=17):
    """A bar through the centre."""
    place = jnp.arange(size) - size // 2
    across = place[None] * jnp.cos(angle) + place[:, None] * jnp.sin(angle)
    return (abs(across) < 0.8).astype(jnp.float32)[..., None]


def learn(model, params, images, stage, rate, rounds):
    for _ in range(rounds):
        for image in images:
            params = reinforce(model, params, image, stage, rate)
    return params


def test_cells_answer_by_the_equation():
    model = Neocognitron(planes=(3,), selectivity=(2.0,))
    image = jax.random.uniform(KEY, (7, 7, 1))
    params = {
        "a1": jax.random.uniform(jax.random.key(1), (5, 5, 1, 3)),
        "b1": jnp.array([0.1, 1.0, 3.0]),
    }
    _, seen = model.apply({"params": params}, image[None], mutable=["intermediates"])
    answers = seen["intermediates"]["s1"][0][0]
    radius = np.hypot(*np.meshgrid(np.arange(5) - 2, np.arange(5) - 2))
    c = 0.7**radius / (0.7**radius).sum()
    window = image[1:6, 1:6, 0]
    inhibition = 2 * 2 / 3 * params["b1"] * np.sqrt((c * window**2).sum())
    drive = (params["a1"][:, :, 0] * window[..., None]).sum((0, 1))
    expected = 2 * np.maximum((1 + drive) / (1 + inhibition) - 1, 0)
    np.testing.assert_allclose(answers[3, 3], expected, rtol=1e-5)
    assert (expected > 0).any()


def test_planes_learn_different_features_without_a_teacher():
    model = Neocognitron(planes=(4,))
    bars = [bar(0.0), bar(jnp.pi / 2)]
    params = model.init(KEY, bars[0][None])["params"]
    params = learn(model, params, bars, stage=1, rate=1.0, rounds=5)

    def answers(image):
        _, seen = model.apply({"params": params}, image[None], mutable=["intermediates"])
        return seen["intermediates"]["s1"][0][0, 8, 8]  # the cells at the bars' centre

    upright, level = map(answers, bars)
    assert upright.argmax() != level.argmax()
    assert upright.max() > 3 * upright[level.argmax()]


def test_what_nobody_answered_to_is_not_learned():
    model = Neocognitron(planes=(3,))
    blank = jnp.zeros((9, 9, 1))
    params = model.init(KEY, blank[None])["params"]
    learned = reinforce(model, params, blank, 1, 1.0)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, learned))


def test_only_the_stage_that_is_shown_learns():
    model = Neocognitron(planes=(3, 3), selectivity=(4.0, 1.5))
    params = model.init(KEY, bar(0.3)[None])["params"]
    learned = reinforce(model, params, bar(0.3), 1, 1.0)
    assert (learned["b1"] > 0).any()
    np.testing.assert_array_equal(learned["a2"], params["a2"])
