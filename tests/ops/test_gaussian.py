import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.naive_bayes import GaussianNB

from jdl.ops.bayes import fit_classes, log_posterior
from jdl.ops.gaussian import (
    Gaussian,
    fit_gaussian,
    from_code,
    from_covariance,
    log_density,
    moments,
    shrink,
    to_code,
)

MEAN = np.array([1.0, -2.0, 0.5], np.float32)
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.4, 0.3, 0.2]], np.float32)
COVARIANCE = ROOT @ ROOT.T


def known():
    return from_covariance(jnp.asarray(MEAN), jnp.asarray(COVARIANCE))


def test_axes_are_orthonormal_and_give_the_covariance_back():
    gaussian = known()
    np.testing.assert_allclose(gaussian.covariance, COVARIANCE, atol=1e-6)
    np.testing.assert_allclose(gaussian.axes.T @ gaussian.axes, np.eye(3), atol=1e-6)
    assert (np.diff(gaussian.variances) <= 0).all()


def test_samples_have_the_models_moments():
    codes = jax.random.normal(jax.random.key(0), (200_000, 3))
    mean, covariance = moments(from_code(known(), codes))
    np.testing.assert_allclose(mean, MEAN, atol=0.01)
    np.testing.assert_allclose(covariance, COVARIANCE, atol=0.01)
    fitted = fit_gaussian(from_code(known(), codes))
    np.testing.assert_allclose(fitted.variances, known().variances, rtol=0.02)


def test_moments_are_numpys_and_weights_count_repeats():
    x = np.random.RandomState(0).randn(7, 3).astype(np.float32)
    times = np.array([2, 1, 0, 3, 1, 1, 1])
    repeated = np.repeat(x, times, axis=0)
    mean, covariance = moments(jnp.asarray(x), jnp.asarray(times, jnp.float32))
    np.testing.assert_allclose(mean, repeated.mean(0), rtol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(repeated.T, bias=True), rtol=1e-4, atol=1e-6)


def test_the_density_is_scipys():
    x = np.random.RandomState(1).randn(50, 3).astype(np.float32) * 2
    theirs = scipy.stats.multivariate_normal(MEAN, COVARIANCE).logpdf(x)
    np.testing.assert_allclose(log_density(known(), jnp.asarray(x)), theirs, rtol=1e-4)


def test_codes_are_the_inverse_of_examples():
    codes = jax.random.normal(jax.random.key(2), (9, 3))
    np.testing.assert_allclose(to_code(known(), from_code(known(), codes)), codes, atol=1e-4)


def test_shrinkage_is_ledoit_and_wolfs():
    from sklearn.covariance import ledoit_wolf

    x = np.random.RandomState(3).randn(12, 5).astype(np.float32) * [3, 2, 1, 0.5, 0.1]
    x = x.astype(np.float32)
    theirs, alpha = ledoit_wolf(x)
    assert 0.05 < alpha < 0.95
    _, covariance = moments(jnp.asarray(x))
    np.testing.assert_allclose(shrink(covariance, float(alpha)), theirs, rtol=1e-4, atol=1e-6)
    # Fewer examples than dimensions still have a density.
    few = fit_gaussian(jnp.asarray(x[:3]), 0.1)
    assert np.isfinite(log_density(few, jnp.asarray(x))).all()


def drawn(count):
    """Examples of three known classes, not equally frequent."""
    random = np.random.RandomState(4)
    labels = random.choice(3, count, p=[0.5, 0.3, 0.2])
    means = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    spread = np.array(
        [[[1.0, 0.0], [0.5, 0.5]], [[0.4, 0.0], [0.0, 1.2]], [[1.0, 0.0], [0.0, 1.0]]]
    )
    x = means[labels] + np.einsum("nij,nj->ni", spread[labels], random.randn(count, 2))
    return x.astype(np.float32), labels, (means, spread)


def test_bayes_rule_on_known_gaussians_is_exact():
    x, labels, (means, spread) = drawn(20_000)
    covariances = spread @ spread.transpose(0, 2, 1)
    prior = np.array([0.5, 0.3, 0.2])
    joint = np.stack(
        [
            p * scipy.stats.multivariate_normal(m, c).pdf(x)
            for p, m, c in zip(prior, means, covariances)
        ],
        axis=1,
    )
    best = joint / joint.sum(1, keepdims=True)
    gaussians = jax.vmap(from_covariance)(
        jnp.asarray(means, jnp.float32), jnp.asarray(covariances, jnp.float32)
    )
    ours = jnp.exp(
        log_posterior(gaussians, jnp.log(jnp.asarray(prior, jnp.float32)), jnp.asarray(x))
    )
    np.testing.assert_allclose(ours, best, atol=1e-4)
    # Fitted to the examples, it is as good as the rule that knows the truth.
    fitted = fit_classes(jnp.asarray(x), jnp.asarray(labels), 3)
    found = log_posterior(*fitted, jnp.asarray(x)).argmax(1)
    assert abs((found == labels).mean() - (best.argmax(1) == labels).mean()) < 0.003


@pytest.mark.parametrize("covariance", ["full", "shared", "diagonal"])
def test_classifiers_are_scikit_learns(covariance):
    x, labels, _ = drawn(600)
    count = np.bincount(labels)[labels][:, None]
    theirs = {
        # It divides by n − 1; with repeats of every example that makes no difference.
        "full": QuadraticDiscriminantAnalysis(),
        "shared": LinearDiscriminantAnalysis(solver="lsqr"),
        "diagonal": GaussianNB(var_smoothing=0.0),
    }[covariance]
    many = 40 if covariance == "full" else 1
    theirs.fit(np.repeat(x, many, axis=0), np.repeat(labels, many))
    assert count.min() > 50
    gaussians, log_prior = fit_classes(jnp.asarray(x), jnp.asarray(labels), 3, covariance)
    ours = jnp.exp(log_posterior(gaussians, log_prior, jnp.asarray(x)))
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=2e-3)


def test_weights_choose_the_examples():
    x, labels, _ = drawn(300)
    chosen = (np.arange(300) < 200).astype(np.float32)
    whole = fit_classes(jnp.asarray(x), jnp.asarray(labels), 3, "shared", 0.1, jnp.asarray(chosen))
    part = fit_classes(jnp.asarray(x[:200]), jnp.asarray(labels[:200]), 3, "shared", 0.1)
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(part)):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert isinstance(whole[0], Gaussian)
