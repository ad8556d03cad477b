"""Variational autoencoding: against a model whose likelihood is known in closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from jdl import create_model
from jdl.errors import UserError
from jdl.ops.divergences import bhattacharyya, squared_wasserstein
from jdl.ops.random import per_example_keys
from jdl.tasks.variational import Variational, prior_manifold
from jdl.train.metrics import compute
from jdl.train.state import TrainState

LOADINGS = np.array([[0.5, 0.1], [-0.2, 0.4], [0.3, 0.3], [0.1, -0.4]], np.float32)
CENTRE, DEVIATION = 0.4, 0.3


class Factors(nn.Module):
    """x = W z + c + s ε, with a posterior that is the true one, widened."""

    widening: float
    likelihood: str = "gaussian"
    latent_size: int = 2

    def encode(self, images):
        x = images.reshape(len(images), -1) - CENTRE
        precision = np.eye(2) + LOADINGS.T @ LOADINGS / DEVIATION**2
        covariance = np.linalg.inv(precision).astype(np.float32)
        mean = x @ (LOADINGS @ covariance / DEVIATION**2)
        variance = self.widening * np.diag(covariance)
        return mean, jnp.broadcast_to(jnp.log(variance)[None], mean.shape)

    def decode(self, latents):
        means = (latents @ LOADINGS.T + CENTRE).reshape(-1, 2, 2, 1)
        return jnp.concatenate([means, jnp.full_like(means, 2 * np.log(DEVIATION))], -1)

    def __call__(self, images, keys, *, train: bool = False):
        mean, log_variance = self.encode(images)
        noise = jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)
        return self.decode(mean + jnp.exp(log_variance / 2) * noise), mean, log_variance


def batch_of(images):
    count = len(images)
    mask, row = jnp.ones(count), jnp.arange(count, dtype=jnp.int32)
    return {"image": jnp.asarray(images), "mask": mask, "row": row}


@pytest.fixture(scope="module")
def batch():
    return batch_of(np.random.RandomState(0).randint(0, 256, (300, 2, 2, 1)).astype(np.uint8))


class Fixed(Variational):
    """Has nothing to learn."""

    def init(self, key, batch):
        return TrainState.create({"params": {}}, self.optimizer)


def known(batch, **options):
    task = Fixed(Factors(1.7), optax.sgd(0.1), latent_size=2, **options)
    return task, task.init(jax.random.key(0), batch)


def test_the_bound_by_importance_weights_reaches_the_known_likelihood(batch):
    task, state = known(batch, importance_samples=400)
    key = jax.random.key(3)
    found = compute(jax.jit(task.test_step)(state, batch, key))
    images = task._observed(batch["image"] / 255.0, per_example_keys(key, batch["row"]))
    marginal = scipy.stats.multivariate_normal(
        np.full(4, CENTRE), LOADINGS @ LOADINGS.T + DEVIATION**2 * np.eye(4)
    )
    truth = -marginal.logpdf(np.asarray(images).reshape(-1, 4)).mean()
    assert found["negative_log_likelihood"] == pytest.approx(truth, abs=5e-3)
    assert found["loss"] > truth + 0.05  # the plain bound is looser
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["divergence"], rel=1e-5)
    bits = 8 + found["negative_log_likelihood"] / (4 * np.log(2))
    assert found["bits_per_dimension"] == pytest.approx(bits, rel=1e-5)


def test_beta_and_other_divergences_change_the_loss_alone(batch):
    key = jax.random.key(0)
    plain, state = known(batch)
    heavy, _ = known(batch, beta=4.0)
    first, second = (compute(task.eval_step(state, batch, key)) for task in (plain, heavy))
    assert second["loss"] == pytest.approx(
        first["reconstruction"] + 4 * first["divergence"], rel=1e-5
    )
    assert second["divergence"] == first["divergence"]
    others = set()
    for divergence in (squared_wasserstein, bhattacharyya):
        other, _ = known(batch, divergence=divergence)
        values = compute(other.eval_step(state, batch, key))
        assert values["reconstruction"] == first["reconstruction"]
        others.add(round(values["divergence"], 4))
    assert len(others | {round(first["divergence"], 4)}) == 3


def test_a_gaussian_decoder_learns_deviations():
    """Noise without structure: what is left to learn is how much of it each pixel has."""
    random = np.random.RandomState(0)
    deviations = np.where(np.arange(4) < 2, 20, 5)[:, None, None]
    images = np.clip(128 + deviations * random.randn(200, 4, 4, 1), 0, 255).astype(np.uint8)
    model = create_model(
        "vae",
        latent_size=2,
        features=(2, 4),
        hidden_size=8,
        image_shape=(4, 4, 1),
        likelihood="gaussian",
    )
    task = Variational(model, optax.adam(0.02), latent_size=2, importance_samples=3)
    batch, key = batch_of(images), jax.random.key(0)
    state, step = jax.jit(task.init)(key, batch), jax.jit(task.train_step)
    for number in range(600):
        state, _ = step(state, batch, jax.random.fold_in(key, number))
    outputs = model.apply(state.variables, jnp.zeros((1, 2)), method="decode")
    rows = np.exp(outputs[0, ..., 1] / 2).mean(1)
    np.testing.assert_allclose(rows, deviations.ravel() / 256, rtol=0.2)
    found = compute(task.test_step(state, batch, key))
    # No model of independent normal noise can need fewer bits than its entropy.
    entropy = np.log2(deviations * np.sqrt(2 * np.pi * np.e)).mean()
    assert found["bits_per_dimension"] == pytest.approx(entropy, abs=0.1)
    drawn = task.figures(state, batch, key)
    assert set(drawn) == {"samples", "reconstructions", "walks", "manifold"}
    assert set(task.progress(state, batch, key)) == {"samples"}


def test_no_pixel_is_told_more_precisely_than_its_noise():
    model = create_model("vae", latent_size=2, likelihood="gaussian")
    variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)), jax.random.key(1))
    sure = jax.tree.map(lambda x: x, variables)
    sure["params"]["decoder_conv2"]["bias"] = jnp.array([0.5, -1e3])
    outputs = model.apply(sure, jnp.zeros((1, 2)), method="decode")
    np.testing.assert_allclose(np.exp(outputs[..., 1]), 1 / 12 / 256**2, rtol=1e-5)


def test_codes_of_the_wrong_size_are_refused():
    model = create_model("vae", latent_size=3)
    task = Variational(model, optax.sgd(0.1), latent_size=3)
    state = jax.eval_shape(
        task.init, jax.random.key(0), batch_of(np.zeros((1, 28, 28, 1), np.uint8))
    )
    with pytest.raises(UserError, match="codes of 3 numbers, not 2"):
        jax.eval_shape(lambda s: task.decode(s, jnp.zeros((1, 2))), state)


def test_the_prior_s_manifold_is_as_probable_at_every_step():
    grid = prior_manifold(9).reshape(9, 9, 2)
    steps = np.diff(scipy.stats.norm.cdf(grid[:, 0, 0]))
    np.testing.assert_allclose(steps, 1 / 9, atol=1e-6)
    np.testing.assert_allclose(grid[..., 1], grid[..., 0].T)
