import numpy as np
import pytest

from jdl.diffusion.schedules import cosine_schedule, linear_schedule


def test_linear_is_that_of_the_paper():
    betas = np.linspace(1e-4, 0.02, 1000)
    product = 1.0
    for t, beta in enumerate(betas):
        product *= 1 - beta
        if t in (0, 499, 999):
            assert linear_schedule()[t] == pytest.approx(product, rel=1e-6)


def test_cosine_clips_its_last_betas():
    alpha_bar = cosine_schedule(1000).astype(np.float64)
    betas = 1 - alpha_bar[1:] / alpha_bar[:-1]
    assert betas.max() == pytest.approx(0.999, abs=1e-4)
    half = np.cos((0.5 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert alpha_bar[499] == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule])
def test_the_signal_only_fades(schedule):
    alpha_bar = schedule(100)
    assert (np.diff(alpha_bar) < 0).all()
    assert 0 < alpha_bar[-1] < alpha_bar[0] < 1
