import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.errors import UserError
from jdl.optim.restarts import restart_from_best


def run(optimizer, losses, gradient=1.0):
    """The weight after each update, when these losses are told."""
    w, state = jnp.float32(10.0), optimizer.init(jnp.float32(10.0))
    update = jax.jit(lambda g, state, w, loss: optimizer.update(g, state, w, value=loss))
    found = []
    for loss in losses:
        change, state = update(jnp.float32(gradient), state, w, jnp.float32(loss))
        w = w + change
        found.append(float(w))
    return found


def test_it_goes_back_to_where_the_loss_was_smallest_and_the_schedule_starts_again():
    schedule = optax.linear_schedule(1.0, 0.0, 4)  # steps of 1, ¾, ½, ¼
    found = run(restart_from_best(optax.sgd(schedule), period=4), [5, 2, 7, 9, 8, 8, 1, 3])
    # The loss of 2 was at 9; after the restart the rate is 1 again, and 1 was at 7.25.
    assert found == pytest.approx([9, 8.25, 7.75, 9, 8, 7.25, 6.75, 7.25])


def test_momentum_starts_from_rest():
    found = run(restart_from_best(optax.sgd(1.0, 0.9), period=3), [1, 2, 3, 4])
    assert found == pytest.approx([9.0, 7.1, 10.0, 9.0])


def test_of_a_window_the_mean_counts():
    optimizer = restart_from_best(optax.sgd(1.0), period=4, window=2)
    # Means 5 and 3: the best weights are those of the fourth update, though the second had 0.
    assert run(optimizer, [10, 0, 2, 4])[-1] == 7.0
    assert run(optimizer, [4, 2, 0, 10])[-1] == 9.0


def test_it_is_deterministic_under_a_map():
    losses = jnp.array([[3.0, 1.0], [1.0, 3.0]])

    def after_two(losses):
        optimizer = restart_from_best(optax.sgd(1.0), period=2)
        w, state = jnp.float32(0), optimizer.init(jnp.float32(0))
        for loss in losses:
            change, state = optimizer.update(jnp.float32(1), state, w, value=loss)
            w = w + change
        return w

    np.testing.assert_array_equal(jax.vmap(after_two)(losses), [-1.0, 0.0])


def test_what_cannot_be():
    with pytest.raises(UserError, match="window of 3 updates does not divide a period of 4"):
        restart_from_best(optax.sgd(1.0), 4, 3)
    optimizer = restart_from_best(optax.sgd(1.0), 4)
    with pytest.raises(UserError, match="is told no loss by this task"):
        optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)), jnp.ones(1))
