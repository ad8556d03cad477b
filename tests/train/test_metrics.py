import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.train.metrics import Mean, add, compute, mean, scalar


@given(st.lists(st.tuples(st.floats(-100, 100, width=32), st.booleans()), min_size=1, max_size=30))
def test_padded_rows_do_not_count_however_the_batch_is_cut(rows):
    values = jnp.array([v for v, _ in rows], jnp.float32)
    mask = jnp.array([m for _, m in rows], jnp.float32)
    cut = len(rows) // 2
    whole = {"x": mean(values, mask)}
    pieces = add({"x": mean(values[:cut], mask[:cut])}, {"x": mean(values[cut:], mask[cut:])})
    real = [v for v, m in rows if m]
    for metrics in (whole, pieces):
        value = compute(metrics)["x"]
        if real:
            assert value == pytest.approx(np.mean(np.float32(real)), rel=1e-4, abs=1e-3)
        else:
            assert np.isnan(value)


def test_a_vector_is_one_value_per_class_and_uncounted_classes_do_not_lower_the_mean():
    iou = Mean(np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 3.0]))
    values = compute({"iou": iou})["iou"]
    assert values[0] == 0.5
    assert np.isnan(values[1])
    assert scalar(values) == 0.75
