import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.diffusion.denoisers import denoiser, score_of
from jdl.diffusion.gaussian import target, to_image, to_score
from jdl.diffusion.losses import denoising_loss, weight
from jdl.diffusion.mixture import Mixture
from jdl.diffusion.processes import Discrete, VarianceExploding, VariancePreserving
from jdl.diffusion.schedules import cosine_schedule
from jdl.errors import UserError

from .known import MIXTURE

PREDICTIONS = ["noise", "image", "velocity", "score"]


@pytest.mark.parametrize("process", [VariancePreserving(), VarianceExploding()])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_weights_count_errors_of_the_score_whatever_is_predicted(process, prediction):
    keys = jax.random.split(jax.random.key(0), 3)
    x, noise, error = (jax.random.normal(key, (5, 3)) for key in keys)
    t = jnp.linspace(0.1, 0.9, 5)
    scales = process.scales(t).over(x)
    noisy = scales.signal * x + scales.noise * noise
    answer = target(x, noise, scales, prediction) + 0.1 * error
    score = to_score(to_image(answer, noisy, scales, prediction), noisy, scales)
    off = np.square(score + noise / scales.noise).mean(1)
    for weighting, factor in {
        "variance": process.scales(t).noise ** 2,
        "likelihood": process.diffusion(t) ** 2,
    }.items():
        loss = denoising_loss(lambda *_: answer, process, x, noise, t, prediction, weighting)
        np.testing.assert_allclose(loss, factor * off, rtol=2e-3)
    loss = denoising_loss(lambda *_: answer, process, x, noise, t, prediction)
    np.testing.assert_allclose(loss, 0.01 * np.square(error).mean(1), rtol=1e-3)


def test_the_simple_loss_is_that_of_noise_weighted_by_its_variance():
    process, t = Discrete(cosine_schedule(50)), jnp.arange(50)
    np.testing.assert_allclose(weight(process, t, "noise", "variance"), 1, rtol=1e-5)
    with pytest.raises(UserError, match="continuous time; Discrete is none"):
        weight(process, t, "noise", "likelihood")


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_nothing_is_better_than_the_true_score(prediction):
    """The minimum of the loss is the conditional mean, though the target is another (Vincent)."""
    process, count = VariancePreserving(), 20_000
    x = MIXTURE.sample(jax.random.split(jax.random.key(0), count))
    noise, t = jax.random.normal(jax.random.key(1), x.shape), jnp.full(count, 0.4)
    scales = process.scales(t).over(x)

    def loss(shift):
        def network(noisy, _):
            image = MIXTURE.denoise(noisy, process.scales(t)) + shift
            return target(image, (noisy - scales.signal * image) / scales.noise, scales, prediction)

        return float(denoising_loss(network, process, x, noise, t, prediction).mean())

    assert loss(0.0) > 0
    assert loss(0.0) < min(loss(0.1), loss(-0.1))


class Network(nn.Module):
    """Predicts noise from a point and its time."""

    @nn.compact
    def __call__(self, x, timesteps):
        h = jnp.concatenate([x, timesteps[:, None] / 999, jnp.cos(timesteps[:, None] / 200)], 1)
        for _ in range(2):
            h = nn.swish(nn.Dense(64)(h))
        return nn.Dense(x.shape[1])(h)


@pytest.mark.slow
def test_a_small_network_learns_the_score_of_a_gaussian():
    """‖ŝ − s‖ < 5 % of ‖s‖, on average over noisy points, where noise and data are alike."""
    gaussian = Mixture(np.ones(1), np.array([[0.6, -0.4]]), np.array([[[0.3, 0.1], [0.1, 0.2]]]))
    process, network, size = VariancePreserving(), Network(), 1024
    params = network.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1))
    steps = 4000
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

    def step(carry, key):
        params, state = carry
        keys = jax.random.split(key, 3)
        x = gaussian.sample(jax.random.split(keys[0], size))
        noise = jax.random.normal(keys[1], x.shape)
        t = process.at((jnp.arange(size) + jax.random.uniform(keys[2])) / size)

        def loss(params):
            apply = lambda *inputs: network.apply(params, *inputs)
            return denoising_loss(apply, process, x, noise, t).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    train = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])
    keys = jax.random.split(jax.random.key(1), steps)
    params, _ = train((params, optimizer.init(params)), keys)

    learned = score_of(
        denoiser(lambda *inputs: network.apply(params, *inputs), process, "noise"), process
    )
    for time in (0.2, 0.4, 0.7):
        t = jnp.full(2000, time)
        scales = process.scales(t)
        x = gaussian.sample(jax.random.split(jax.random.key(2), 2000))
        noisy = scales.over(x).signal * x
        noisy += scales.over(x).noise * jax.random.normal(jax.random.key(3), x.shape)
        exact = gaussian.score(noisy, scales)
        off = jnp.linalg.norm(learned(noisy, t) - exact) / jnp.linalg.norm(exact)
        assert float(off) < 0.05
