import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.data.noise import gaussian_noise, masking_noise


def test_gaussian_noise_has_its_deviation_around_the_image():
    image = jnp.full((60, 60, 2), 0.4)
    noise = gaussian_noise(jax.random.key(0), image, deviation=0.2) - image
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(0.2, rel=0.05)


def test_masking_noise_loses_numbers_one_by_one_and_changes_no_other():
    image = jax.random.uniform(jax.random.key(1), (1, 1, 4000), minval=0.5)
    masked = np.asarray(masking_noise(jax.random.key(0), image, rate=0.3))
    lost = masked == 0
    assert lost.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(masked[~lost], np.asarray(image)[~lost])
