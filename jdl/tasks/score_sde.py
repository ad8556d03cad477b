"""Score-based generation in continuous time, measured in bits per dimension."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.diffusion.likelihood import log_density
from jdl.diffusion.processes import SDE
from jdl.errors import UserError
from jdl.ops.likelihood import bits_per_dimension, dequantize
from jdl.ops.random import per_example_keys
from jdl.tasks.classification import to_float
from jdl.tasks.diffusion import Diffusion, DiffusionState
from jdl.train.metrics import Metrics, mean
from jdl.train.task import Batch


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreSDE(Diffusion):
    """Diffusion whose probability flow gives a likelihood (Song et al., 2021).

    Images are of 8 bits; the network is trained on dequantised ones, so that there is a density:

        x = 2 (k + u)/256 − 1,  u ~ U[0, 1)                                         (1)
        bits per dimension = −log₂ p(x)/D + 7                                       (2)

    Args:
        rated: images of each test batch whose likelihood is computed: it costs as much as a sample
            of many steps.

    Raises:
        UserError: the process is not in continuous time.

    Source: https://arxiv.org/abs/2011.13456, section 4.3.
    """

    rated: int = 100

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.process, SDE):
            raise UserError(
                "a likelihood needs a process in continuous time, "
                f"not {type(self.process).__name__}"
            )

    def scaled(
        self, images: Float[Array, "batch *shape"], keys: Key[Array, " batch"]
    ) -> Float[Array, "batch *shape"]:
        """Dequantises (1)."""
        return 2 * dequantize(keys, jnp.round(255 * images) / 255) - 1

    def test_step(self, state: DiffusionState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, the judge's verdict, and bits per dimension (2) of the first images."""
        metrics = super().test_step(state, batch, key)
        first = jax.tree.map(lambda x: x[: self.rated], dict(batch))
        bits = self.bits(state, first, key)
        return metrics | {"bits_per_dimension": mean(bits, first["mask"])}

    def bits(
        self, state: DiffusionState, batch: Batch, key: Key[Array, ""]
    ) -> Float[Array, " batch"]:
        """Measures (2), estimated from one u and one probe of the trace, for each image."""
        assert isinstance(self.process, SDE)
        noise_key, probe_key = jax.random.split(key)
        noise_keys = per_example_keys(noise_key, batch["row"])
        x = self.scaled(to_float(batch["image"]), noise_keys)
        # What guidance draws has no density that is known.
        plain = dataclasses.replace(self, guidance=0.0, early_step=0)
        denoise = plain.denoiser(state, *self._told(batch))
        probes = per_example_keys(probe_key, batch["row"])
        nats = log_density(denoise, self.process, x, probes)
        size = math.prod(x.shape[1:])
        # In [0, 1), where a density is higher, for there is half the room in each dimension.
        return bits_per_dimension(nats + size * math.log(2), size)
