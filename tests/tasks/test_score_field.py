"""A network that knows the mixture makes no error, and costs what a point costs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.diffusion.gaussian import to_noise
from jdl.diffusion.mixture import Mixture
from jdl.diffusion.processes import VariancePreserving
from jdl.tasks.score_field import ScoreField
from jdl.train.metrics import compute

PROCESS = VariancePreserving()
MIXTURE = Mixture(
    np.array([0.6, 0.4]), np.array([[1.0, 0.5], [-1.0, 0.0]]), np.stack([0.05 * np.eye(2)] * 2)
)


class Knowing(nn.Module):
    """Names the expected noise, times a factor."""

    @nn.compact
    def __call__(self, points, timesteps):
        factor = self.param("factor", nn.initializers.ones, ())
        scales = PROCESS.scales(timesteps / 999)
        image = MIXTURE.denoise(points, scales)
        return factor * to_noise(image, points, scales.over(points))


def test_what_is_known_makes_no_error_and_costs_its_density():
    task = ScoreField(Knowing(), optax.sgd(0.0), PROCESS, MIXTURE)
    points = MIXTURE.sample(jax.random.split(jax.random.key(0), 200))
    batch = {"point": points, "mask": jnp.ones(200), "row": jnp.arange(200, dtype=jnp.int32)}
    state = task.init(jax.random.key(0), batch)
    values = compute(jax.jit(task.test_step)(state, batch, jax.random.key(1)))
    assert values["score_error"] == pytest.approx(0, abs=1e-6)
    assert values["nats"] == pytest.approx(values["true_nats"], abs=5e-3)
    assert 0.1 < values["loss"] < 1  # noise itself is not known
    half = state.replace(params={"factor": jnp.float32(0.9)})
    off = compute(jax.jit(task.eval_step)(half, batch, jax.random.key(1)))["score_error"]
    assert off == pytest.approx(0.01, rel=1e-3)  # a tenth too short, everywhere
