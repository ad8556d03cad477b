import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from jdl.ops.ranking import average_precision, concordant_pairs

RANDOM = np.random.RandomState(0)


def test_the_area_is_scikit_learns_with_ties_and_weights():
    random = np.random.RandomState(0)
    scores = random.randint(0, 8, 60).astype(np.float32)  # many are equal
    positive = random.rand(60) < 0.3
    wins, pairs = concordant_pairs(jnp.asarray(scores), jnp.asarray(positive))
    assert float(wins / pairs) == pytest.approx(roc_auc_score(positive, scores))
    weights = (np.arange(60) < 40).astype(np.float32)
    wins, pairs = concordant_pairs(jnp.asarray(scores), jnp.asarray(positive), jnp.asarray(weights))
    assert float(wins / pairs) == pytest.approx(roc_auc_score(positive[:40], scores[:40]))


@pytest.mark.parametrize("decimals", [8, 1])  # Of one decimal, most scores tie.
def test_average_precision_is_scikit_learns(decimals):
    positive = RANDOM.rand(500) < 0.1
    scores = np.round(RANDOM.randn(500) + positive, decimals).astype(np.float32)
    ours = average_precision(jnp.asarray(scores), jnp.asarray(positive))
    assert float(ours) == pytest.approx(average_precision_score(positive, scores), rel=1e-5)


def test_what_weighs_nothing_does_not_count():
    positive, scores = RANDOM.rand(60) < 0.3, RANDOM.rand(60).astype(np.float32)
    weights = np.repeat([1.0, 0.0], [40, 20]).astype(np.float32)
    padded = average_precision(jnp.asarray(scores), jnp.asarray(positive), jnp.asarray(weights))
    few = average_precision(jnp.asarray(scores[:40]), jnp.asarray(positive[:40]))
    assert float(padded) == pytest.approx(float(few), rel=1e-6)
