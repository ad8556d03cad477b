"""Denoising, beside non-local means, which has learned nothing."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.ops.image_quality import psnr
from jdl.tasks.classification import to_float
from jdl.tasks.reconstruction import Reconstruction
from jdl.train.state import TrainState
from jdl.train.task import Batch

Images = Float[np.ndarray, "batch height width channels"]


def non_local_means(images: Images, deviation: float) -> Images:
    """Replaces each pixel by a mean over those whose neighbourhoods look like its own.

    Args:
        images: with noise.
        deviation: of the noise, which it is told.

    Returns:
        Images of the same shape.

    Example:
        >>> flat = np.full((1, 9, 9, 1), 0.5, np.float32)
        >>> bool(np.allclose(non_local_means(flat, 0.1), flat))
        True

    Source: Buades et al., 2005, https://doi.org/10.1109/CVPR.2005.38, as scikit-image has it.
    """
    from skimage.restoration import denoise_nl_means

    def denoise(image):
        # The settings that scikit-image's own example gives for a known deviation.
        return denoise_nl_means(
            image, 5, 6, h=0.6 * deviation, sigma=deviation, fast_mode=False, channel_axis=-1
        )

    # It drops the channel of grey images.
    return np.stack([denoise(image) for image in images]).astype(np.float32).reshape(images.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Denoising(Reconstruction):
    """Reconstruction of images from noisy ones, told beside what non-local means make of them.

    Args:
        test: images that both are compared on, 8 bits.
        deviation: of the normal noise, that `corruption` adds.
    """

    test: np.ndarray = dataclasses.field(kw_only=True)
    deviation: float = dataclasses.field(kw_only=True)

    def denoised(self, state: TrainState, key: Key[Array, ""]) -> dict[str, Images]:
        """The test images, noisy ones, and both ways' denoised ones, by name."""
        clean = to_float(jnp.asarray(self.test))
        noisy = self.corrupted(clean, jnp.arange(len(clean)), key)
        found = {
            "clean": clean,
            "noisy": noisy,
            "autoencoder": self.reconstruct(state, noisy),
        }
        found = {name: np.asarray(images) for name, images in found.items()}
        return found | {"non_local_means": non_local_means(found["noisy"], self.deviation)}

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """The ratio of signal to noise that each way reaches, on the same noisy images."""
        found = self.denoised(state, key)
        clean = found.pop("clean")
        ratios = {
            name: psnr(jnp.clip(x, 0, 1), jnp.asarray(clean)).mean() for name, x in found.items()
        }
        lines = [f"{name:16}{ratio:6.2f} dB" for name, ratio in ratios.items()]
        return {"signal_to_noise": "\n".join(lines)}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]):
        """The same images clean, noisy and denoised both ways, and those of `Reconstruction`."""
        from jdl.tasks.drawing import image_grid

        few = dataclasses.replace(self, test=self.test[:16])
        found = few.denoised(state, key)
        names = ", ".join(name.replace("_", " ") for name in found)
        rows = np.clip(np.concatenate(list(found.values())), 0, 1)
        grid = image_grid(rows, columns=len(few.test), title=f"From above: {names}")
        return super().figures(state, batch, key) | {"denoised": grid}
