import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jdl.ops.image_quality import psnr, ssim

RANDOM = np.random.RandomState(0)
CLEAN = RANDOM.rand(3, 23, 40, 3).astype(np.float32)
SMOOTH = np.sin(np.mgrid[:30, :20].sum(0) / 7)[None, :, :, None].astype(np.float32) / 4 + 0.6
PAIRS = {
    "noisy": (np.clip(CLEAN + 0.2 * RANDOM.randn(*CLEAN.shape), 0, 1).astype(np.float32), CLEAN),
    # Bright and flat: where variances are small differences of large numbers.
    "flat": (0.9 + 0.02 * CLEAN, 0.95 - 0.03 * CLEAN),
    "grey": (SMOOTH + 0.01, SMOOTH),
}


@pytest.mark.parametrize("name", PAIRS)
def test_psnr_is_scikit_images(name):
    images, clean = PAIRS[name]
    theirs = [peak_signal_noise_ratio(c, x, data_range=1) for x, c in zip(images, clean)]
    np.testing.assert_allclose(psnr(jnp.asarray(images), jnp.asarray(clean)), theirs, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_ssim_is_scikit_images(name):
    images, clean = PAIRS[name]
    theirs = [
        structural_similarity(
            c.astype(np.float64),
            x.astype(np.float64),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1,
        )
        for x, c in zip(images, clean)
    ]
    np.testing.assert_allclose(ssim(jnp.asarray(images), jnp.asarray(clean)), theirs, atol=1e-5)
