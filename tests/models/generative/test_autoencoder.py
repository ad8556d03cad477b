import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.generative.autoencoder import Autoencoder
from jdl.ops.gaussian import fit_gaussian
from jdl.tasks.reconstruction import Reconstruction

NAMES = ["autoencoder", "autoencoder_overcomplete", "autoencoder_conv"]


@pytest.mark.parametrize("name", NAMES)
def test_call_is_encode_and_decode(name):
    model = jdl.create_model(name, latent_size=5, image_shape=(8, 12, 2))
    images = jax.random.uniform(jax.random.key(1), (3, 8, 12, 2))
    (outputs, codes), variables = jax.jit(model.init_with_output)(jax.random.key(0), images)
    apply = jax.jit(model.apply, static_argnames="method")
    np.testing.assert_allclose(codes, apply(variables, images, method="encode"), atol=1e-6)
    np.testing.assert_allclose(outputs, apply(variables, codes, method="decode"), atol=1e-6)
    assert outputs.shape == images.shape
    assert codes.shape == (3, 5)
    sown = jdl.features(model, variables, images, names=["code"])["code"]
    np.testing.assert_allclose(sown, codes, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_other_shapes_and_codes_are_refused(name):
    model = jdl.create_model(name)
    with pytest.raises(UserError, match=r"\(28, 28, 1\), not \(28, 28, 3\); set image_shape"):
        model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 3)))
    with pytest.raises(UserError, match=r"codes of \d+ numbers, not 7"):
        model.init(jax.random.key(0), jnp.zeros((1, 7)), method="decode")


def test_sizes_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(UserError, match="25x25 is not divisible by 4"):
        jdl.create_model("autoencoder_conv", image_shape=(25, 25, 1)).init(
            jax.random.key(0), jnp.zeros((1, 25, 25, 1))
        )


def test_overcomplete_codes_are_never_negative():
    model = jdl.create_model("autoencoder_overcomplete", latent_size=30, image_shape=(4, 4, 1))
    images = jax.random.uniform(jax.random.key(0), (20, 4, 4, 1))
    (_, codes), _ = model.init_with_output(jax.random.key(1), images)
    assert codes.min() == 0
    assert codes.max() > 0


@pytest.mark.slow
def test_a_linear_autoencoder_finds_the_space_of_the_principal_components():
    """Baldi and Hornik, 1989: every minimum that is not global is a saddle."""
    random = np.random.RandomState(0)
    scales = np.array([2.0, 1.5, 1.2, 0.3, 0.2, 0.1])
    rotation, _ = np.linalg.qr(random.randn(6, 6))
    images = (0.5 + (random.randn(200, 6) * scales) @ rotation.T).astype(np.float32)
    batch = {
        "image": jnp.asarray(images.reshape(200, 2, 3, 1)),
        "mask": jnp.ones(200),
        "row": jnp.arange(200, dtype=jnp.int32),
    }
    model = Autoencoder(latent_size=3, hidden_sizes=(), image_shape=(2, 3, 1))
    task = Reconstruction(model, optax.adam(0.02), likelihood="gaussian")
    state = task.init(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    for _ in range(1500):
        state, metrics = step(state, batch, jax.random.key(0))
    gaussian = fit_gaussian(jnp.asarray(images))
    ours, _ = np.linalg.qr(np.asarray(state.params["decoder.0"]["kernel"]).T)
    theirs = np.asarray(gaussian.axes[:, :3])
    # Cosines of the angles between the two spaces.
    cosines = np.linalg.svd(ours.T @ theirs, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    lost = float(gaussian.variances[3:].sum()) / 6
    found = metrics["mean_squared_error"].total / metrics["mean_squared_error"].count
    assert float(found) == pytest.approx(lost, rel=1e-2)
