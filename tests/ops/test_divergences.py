import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jdl.ops.divergences import bhattacharyya, from_standard, kullback_leibler, squared_wasserstein

PAIRS = [((0.3, 0.5), (0.0, 1.0)), ((-1.0, 2.0), (0.7, 0.6)), ((2.0, 1.5), (2.0, 1.5))]


def ours(divergence, p, q):
    mean, deviation = jnp.array([p[0]]), jnp.array([p[1]])
    other_mean, other = jnp.array([q[0]]), jnp.array([q[1]])
    return float(divergence(mean, 2 * jnp.log(deviation), other_mean, 2 * jnp.log(other)))


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences_are_their_integrals(p, q):
    first, second = scipy.stats.norm(*p), scipy.stats.norm(*q)

    def integral(function):
        return scipy.integrate.quad(function, -30, 30, limit=400, points=[p[0], q[0]])[0]

    expected = integral(lambda x: first.pdf(x) * (first.logpdf(x) - second.logpdf(x)))
    assert ours(kullback_leibler, p, q) == pytest.approx(expected, abs=1e-5)
    expected = -np.log(integral(lambda x: np.sqrt(first.pdf(x) * second.pdf(x))))
    assert ours(bhattacharyya, p, q) == pytest.approx(expected, abs=1e-5)
    # In one dimension the best way to move mass keeps its order: quantile goes to quantile.
    moved = scipy.integrate.quad(lambda u: (first.ppf(u) - second.ppf(u)) ** 2, 0, 1, limit=400)[0]
    assert ours(squared_wasserstein, p, q) == pytest.approx(moved, abs=1e-3)


def test_kullback_leibler_equals_its_monte_carlo_estimate():
    random = np.random.RandomState(0)
    mean, log_variance = (jnp.asarray(random.randn(4), jnp.float32) for _ in range(2))
    z = mean[None] + jnp.exp(log_variance / 2)[None] * jax.random.normal(
        jax.random.key(0), (400_000, 4)
    )
    q = scipy.stats.norm(np.asarray(mean), np.exp(np.asarray(log_variance) / 2))
    estimate = (q.logpdf(z) - scipy.stats.norm.logpdf(z)).sum(1).mean()
    assert float(from_standard(kullback_leibler, mean, log_variance)) == pytest.approx(
        estimate, rel=0.01
    )


@pytest.mark.parametrize("divergence", [kullback_leibler, squared_wasserstein, bhattacharyya])
def test_divergences_add_up_over_coordinates_and_vanish_at_home(divergence):
    random = np.random.RandomState(1)
    arguments = [jnp.asarray(random.randn(5, 3), jnp.float32) for _ in range(4)]
    parts = sum(divergence(*(a[:, j : j + 1] for a in arguments)) for j in range(3))
    np.testing.assert_allclose(divergence(*arguments), parts, rtol=1e-4)
    assert (divergence(*arguments) > 0).all()
    mean, log_variance = arguments[:2]
    np.testing.assert_allclose(divergence(mean, log_variance, mean, log_variance), 0, atol=1e-5)


def test_only_kullback_leibler_and_bhattacharyya_forbid_a_certain_code():
    """As the variance goes to zero, the first two grow without bound, Wasserstein's does not."""
    narrow = jnp.array([-40.0])
    zero = jnp.zeros(1)
    assert from_standard(kullback_leibler, zero, narrow) > 19
    assert from_standard(bhattacharyya, zero, narrow) > 9
    assert from_standard(squared_wasserstein, zero, narrow) == pytest.approx(1, abs=1e-6)
