import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jdl.ops.ranking import concordant_pairs


def test_the_area_is_scikit_learns_with_ties_and_weights():
    random = np.random.RandomState(0)
    scores = random.randint(0, 8, 60).astype(np.float32)  # many are equal
    positive = random.rand(60) < 0.3
    wins, pairs = concordant_pairs(jnp.asarray(scores), jnp.asarray(positive))
    assert float(wins / pairs) == pytest.approx(roc_auc_score(positive, scores))
    weights = (np.arange(60) < 40).astype(np.float32)
    wins, pairs = concordant_pairs(jnp.asarray(scores), jnp.asarray(positive), jnp.asarray(weights))
    assert float(wins / pairs) == pytest.approx(roc_auc_score(positive[:40], scores[:40]))
