import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore.saliency import guided_gradient, input_gradient, saliency_map


def perceptron(seed=0):
    """Weights of 2×2 images → 5 → 4 → 1, and the score that they give."""
    random = np.random.RandomState(seed)
    weights = [random.randn(n, m).astype(np.float32) for n, m in ((4, 5), (5, 4), (4, 1))]

    def score(images):
        x = images.reshape(len(images), -1)
        for weight in weights[:-1]:
            x = nn.relu(x @ weight)
        return (x @ weights[-1])[:, 0]

    return weights, score


def by_hand(weights, image, rule):
    """Goes up, and back down by a rule (what comes from above, input of the ReLU)."""
    x, before = image.ravel(), []
    for weight in weights[:-1]:
        before.append(x @ weight)
        x = np.maximum(before[-1], 0)
    signal = weights[-1][:, 0]
    for weight, seen in zip(weights[-2::-1], before[::-1]):
        signal = weight @ rule(signal, seen)
    return signal.reshape(image.shape)


@pytest.mark.parametrize("seed", range(5))
def test_both_follow_their_rule(seed):
    weights, score = perceptron(seed)
    images = np.random.RandomState(seed).rand(3, 2, 2, 1).astype(np.float32)
    guided = guided_gradient(score, jnp.asarray(images))
    gradient = input_gradient(score, jnp.asarray(images))
    for i, image in enumerate(images):
        rule = lambda s, x: s * (x > 0)
        np.testing.assert_allclose(gradient[i], by_hand(weights, image, rule), rtol=1e-4, atol=1e-6)
        rule = lambda s, x: s * (x > 0) * (s > 0)
        np.testing.assert_allclose(guided[i], by_hand(weights, image, rule), rtol=1e-4, atol=1e-6)


def test_they_are_one_where_nothing_is_negative():
    score = lambda x: nn.relu(nn.relu(x) * 2).sum((1, 2, 3))
    images = jax.random.normal(jax.random.key(0), (2, 3, 3, 1))
    np.testing.assert_array_equal(guided_gradient(score, images), input_gradient(score, images))


def test_a_real_network_has_two_different_ones():
    model = jdl.create_model("lenet5_relu")
    images = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    score = lambda x: model.apply(variables, x)[:, 3]
    gradient = jax.jit(lambda x: input_gradient(score, x))(images)
    guided = jax.jit(lambda x: guided_gradient(score, x))(images)
    assert gradient.shape == guided.shape == images.shape
    assert float(jnp.abs(gradient - guided).max()) > 0.1 * float(jnp.abs(gradient).max())


def test_the_gradient_of_one_image_knows_nothing_of_the_others():
    _, score = perceptron()
    images = jax.random.uniform(jax.random.key(0), (4, 2, 2, 1))
    one_by_one = jnp.concatenate([input_gradient(score, image[None]) for image in images])
    np.testing.assert_allclose(input_gradient(score, images), one_by_one, rtol=1e-6)


def test_without_relus_there_is_nothing_to_guide():
    with pytest.raises(UserError, match="this network has none"):
        guided_gradient(lambda x: jnp.tanh(x).sum((1, 2, 3)), jnp.ones((1, 2, 2, 1)))


def test_the_channel_that_counts_most_is_seen():
    gradient = jnp.array([[1.0, -3.0, 2.0], [0.0, 0.5, 0.0]]).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(saliency_map(gradient)[0, 0], [3.0, 0.5])
