import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jdl import create_model
from jdl.errors import UserError
from jdl.explore.frechet import (
    FeatureExtractor,
    frechet_distance,
    frechet_score,
    network_features,
    photograph_features,
)
from jdl.ops.preprocessing import Preprocessing, preprocess


def gaussians(size, seed):
    random = np.random.RandomState(seed)
    roots = random.randn(2, size, size)
    return random.randn(2, size), roots @ roots.transpose(0, 2, 1) / size


@pytest.mark.parametrize("size", [1, 3, 20])
def test_the_distance_is_that_of_scipys_matrix_root(size):
    means, covariances = gaussians(size, size)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(means[0] - means[1]).sum() + np.trace(covariances.sum(0) - 2 * root)
    found = frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert found == pytest.approx(expected, rel=1e-6)
    back = frechet_distance(means[1], covariances[1], means[0], covariances[0])
    assert back == pytest.approx(found, rel=1e-9)


def test_the_distance_to_itself_is_nothing_even_where_features_never_vary():
    means, covariances = gaussians(6, 0)
    flat = np.diag([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) @ covariances[0]
    flat = flat @ np.diag([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    assert frechet_distance(means[0], flat, means[0], flat) == pytest.approx(0, abs=1e-6)


def test_scores_of_draws_approach_the_distance():
    means, covariances = gaussians(4, 1)
    random = np.random.RandomState(0)
    draws = [random.multivariate_normal(m, c, 50_000) for m, c in zip(means, covariances)]
    expected = frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert frechet_score(*draws) == pytest.approx(expected, rel=0.03)
    with pytest.raises(UserError, match="two images of each kind, not 50000 and 1"):
        frechet_score(draws[0], draws[1][:1])


def test_a_batch_after_the_other_is_all_at_once():
    extractor = FeatureExtractor("sums", lambda x: x.sum((1, 2)))
    images = np.random.RandomState(0).rand(230, 4, 4, 2)
    np.testing.assert_allclose(extractor(images), images.sum((1, 2)))


def test_features_are_the_layer_s_and_carry_its_name():
    model = create_model("lenet5")
    images = np.random.RandomState(0).rand(3, 28, 28, 1).astype(np.float32)
    variables = model.init(jax.random.key(0), jnp.asarray(images))
    extractor = network_features("mine", model, variables, "f6")
    assert extractor.name == "mine f6"
    _, sown = model.apply(variables, jnp.asarray(images), mutable="intermediates")
    np.testing.assert_allclose(extractor(images), sown["intermediates"]["f6"][0], atol=1e-6)


def test_photographs_networks_see_all_of_an_image():
    model = create_model("lenet5")
    expected = Preprocessing(40, 32, (0.5,) * 3, (0.5,) * 3)
    images = np.random.RandomState(0).rand(2, 28, 28, 1).astype(np.float32)
    seen = np.stack([preprocess(x, Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3)) for x in images])
    variables = model.init(jax.random.key(0), jnp.asarray(seen))
    ours = photograph_features("mine", model, variables, expected, "f6")(images)
    theirs = network_features("mine", model, variables, "f6")(seen)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
