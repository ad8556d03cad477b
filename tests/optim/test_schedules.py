import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.errors import UserError
from jdl.optim.schedules import noam, time_based, warmup_cosine, warmup_stable_decay, with_warmup


def test_a_schedule_that_was_warmed_up_is_where_it_would_have_been():
    plain = optax.exponential_decay(0.2, 10, 0.5, staircase=True)
    warmed = with_warmup(plain, 15)
    assert [float(warmed(n)) for n in (0, 3, 14)] == pytest.approx([0, 0.04, 0.2 * 14 / 15])
    for n in (15, 19, 20, 50):
        assert warmed(n) == plain(n)
    assert with_warmup(plain, 0)(0) == plain(0)


def test_a_cosine_begins_and_ends_where_it_should():
    schedule = warmup_cosine(1.0, 4, 12, start=0.2, end=0.1)
    found = [float(schedule(n)) for n in (0, 2, 4, 8, 12, 20)]
    assert found == pytest.approx([0.2, 0.6, 1.0, 0.55, 0.1, 0.1])


def test_a_run_that_is_over_before_its_warm_up_is_refused():
    with pytest.raises(UserError, match="run of 10 updates is over before its warm-up of 10"):
        warmup_cosine(1.0, 10, 10)


def test_a_rate_is_kept_between_its_rise_and_its_fall():
    schedule = warmup_stable_decay(2.0, 4, 10, 40)
    rates = [float(schedule(n)) for n in (0, 1, 4, 29, 30, 35, 40, 50)]
    assert rates == pytest.approx([0, 0.5, 2, 2, 2, 1, 0, 0])
    with pytest.raises(UserError, match="14 updates has no room for a warm-up of 4 and a decay"):
        warmup_stable_decay(2.0, 4, 10, 14)


def test_noam_rises_to_the_end_of_the_warm_up_and_falls_with_the_root():
    schedule = noam(64, 100, factor=2.0)
    rates = [float(schedule(n)) for n in range(400)]
    expected = [2 * 64**-0.5 * min(n**-0.5, n * 100**-1.5) for n in range(1, 401)]
    assert rates == pytest.approx(expected, rel=1e-5)
    assert max(rates) == rates[99] == pytest.approx(2 * rates[399])
    with pytest.raises(UserError, match="at least 1 step, not 0"):
        noam(64, 0)


EPOCHS = np.arange(6)
LECTURE = {
    "time-based": (lambda rate: time_based(rate, 0.7, 10), 1 / (1 + 0.7 * EPOCHS)),
    "step": (lambda rate: optax.exponential_decay(rate, 10, 0.7, staircase=True), 0.7**EPOCHS),
    "exponential": (
        lambda rate: optax.exponential_decay(rate, 10, np.exp(-0.7)),
        np.exp(-0.7 * EPOCHS),
    ),
    "cosine": (
        lambda rate: optax.cosine_decay_schedule(rate, 50),
        (1 + np.cos(np.pi * EPOCHS / 5)) / 2,
    ),
}


@pytest.mark.parametrize("name", LECTURE)
def test_the_lectures_schedules_by_epoch(name):
    make, expected = LECTURE[name]
    schedule = make(0.3)
    found = [float(schedule(10 * epoch)) for epoch in EPOCHS]
    assert found == pytest.approx(0.3 * expected, abs=1e-7)


def test_between_two_epochs_only_steps_stand_still():
    assert LECTURE["step"][0](1.0)(19) == LECTURE["step"][0](1.0)(10)
    for name in ("time-based", "exponential", "cosine"):
        schedule = LECTURE[name][0](1.0)
        assert schedule(10) > schedule(15) > schedule(20)


MADE = {
    **{name: make for name, (make, _) in LECTURE.items()},
    "warm-up": lambda rate: with_warmup(optax.constant_schedule(rate), 4),
    "warm-up, cosine": lambda rate: warmup_cosine(rate, 4, 50),
    "warm-up, stable, decay": lambda rate: warmup_stable_decay(rate, 4, 10, 50),
    "noam": lambda rate: noam(64, 10, rate),
    "one cycle": lambda rate: optax.cosine_onecycle_schedule(50, rate),
}


@pytest.mark.parametrize("name", MADE)
def test_rates_may_be_traced_as_a_sweep_does(name):
    at = lambda rate: MADE[name](rate)(jnp.int32(7))
    rates = jnp.array([0.3, 0.01])
    np.testing.assert_allclose(jax.jit(jax.vmap(at))(rates), [at(0.3), at(0.01)], rtol=1e-5)
