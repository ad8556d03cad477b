import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.generative.stylegan import Epilogue, EqualConv, EqualDense, deviation

SMALL = {"base_features": 32, "style_size": 6, "mapping_layers": 2, "channels": 1}


@functools.cache
def build(**overrides):
    model = jdl.create_model("stylegan_generator", image_size=16, **(SMALL | overrides))
    latents = jax.random.normal(jax.random.key(1), (4, 6))
    variables = jax.jit(model.init)(jax.random.key(0), latents)
    # Noise that is heard, and styles that differ.
    noise = lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)
    return model, latents, jax.tree.map(noise, variables)


def count(name, example):
    params = jax.eval_shape(jdl.create_model(name).init, jax.random.key(0), example)["params"]
    return params, sum(leaf.size for leaf in jax.tree.leaves(params))


def test_counts_of_the_generators_parts():
    params, total = count("stylegan_generator", jnp.zeros((1, 512)))
    of = lambda word: sum(
        leaf.size for name, part in params.items() if word in name for leaf in jax.tree.leaves(part)
    )
    assert (of("mapping"), of("rgb")) == (2_101_248, 7_659)
    assert total - of("mapping") - of("rgb") == 24_110_720
    assert total == 26_219_627


def test_count_of_the_discriminator():
    assert count("stylegan_discriminator", jnp.zeros((1, 1024, 1024, 3)))[1] == 23_087_249


@pytest.mark.parametrize("inputs", [16, 400])
def test_equalised_layers_keep_the_variance(inputs):
    x = jax.random.normal(jax.random.key(0), (512, inputs))
    layer = EqualDense(256, gain=1.0, multiplier=0.01)
    y, variables = layer.init_with_output(jax.random.key(1), x)
    assert float(y.std()) == pytest.approx(1, rel=0.05)
    # The weights are a hundred times as large, and a step of the optimiser counts a hundredth.
    assert float(variables["params"]["kernel"].std()) == pytest.approx(100, rel=0.05)
    images = jax.random.normal(jax.random.key(0), (8, 16, 16, 12))
    y, variables = EqualConv(32, gain=1.0).init_with_output(jax.random.key(1), images)
    assert float(variables["params"]["kernel"].std()) == pytest.approx(1, rel=0.05)
    assert float(y[:, 1:-1, 1:-1].std()) == pytest.approx(1, rel=0.05)


def test_epilogue_gives_each_channel_the_styles_deviation_and_mean():
    x = jax.random.normal(jax.random.key(0), (3, 8, 8, 5))
    style = jax.random.normal(jax.random.key(1), (3, 6))
    layer = Epilogue()
    variables = layer.init(jax.random.key(2), x, style)
    dense = lambda name, bias: EqualDense(5, gain=1.0, bias=bias).apply(
        {"params": variables["params"][name]}, style
    )
    y = layer.apply(variables, 7 * x + 2, style)
    np.testing.assert_allclose(y.mean((1, 2)), dense("shift", 0.0), atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), jnp.abs(dense("scale", 1.0)), rtol=1e-4)
    # At the beginning a style of zeros leaves the deviation at one.
    plain = layer.apply(variables, x, jnp.zeros((3, 6)))
    np.testing.assert_allclose(plain.std((1, 2)), 1, rtol=1e-4)


def test_noise_is_added_where_there_is_a_key():
    model, latents, variables = build()
    draw = jax.jit(lambda key: model.apply(variables, latents, rngs={"noise": key}))
    silent = jax.jit(model.apply)(variables, latents)
    one, again, other = (draw(jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert float(jnp.abs(one - other).max()) > 1e-3
    assert float(jnp.abs(one - silent).max()) > 1e-3


def test_truncation_draws_all_styles_to_their_mean():
    latents, variables = build()[1:]
    styles = {}
    for psi in (1.0, 0.5, 0.0):
        model = jdl.create_model("stylegan_generator", image_size=16, **SMALL, truncation=psi)
        _, sown = model.apply(variables, latents, mutable="intermediates")
        styles[psi] = sown["intermediates"]["styles"][0]
    mean = variables["batch_stats"]["style"]
    np.testing.assert_allclose(styles[0.0], jnp.broadcast_to(mean, styles[0.0].shape), atol=1e-6)
    np.testing.assert_allclose(styles[0.5], (styles[0.0] + styles[1.0]) / 2, atol=1e-5)
    mapped = model.apply(variables, latents, method="map")
    np.testing.assert_allclose(styles[1.0][:, 3], mapped, atol=1e-5)
    # The length of a code does not matter.
    again = model.apply(variables, 3 * latents, method="map")
    np.testing.assert_allclose(again, mapped, rtol=1e-3, atol=1e-5)


def test_training_mixes_styles_and_follows_their_mean():
    model, _, variables = build()
    many = jax.random.normal(jax.random.key(5), (200, 6))
    apply = functools.partial(
        model.apply,
        train=True,
        rngs={"noise": jax.random.key(3)},
        mutable=["intermediates", "batch_stats"],
    )
    _, updated = jax.jit(apply)(variables, many)
    styles = updated["intermediates"]["styles"][0]
    own = model.apply(variables, many, method="map")
    is_own = jnp.isclose(styles, own[:, None], atol=1e-5).all(-1)
    assert is_own[:, 0].all()
    # Nine in ten change, once, at any layer.
    assert 0.8 < 1 - float(is_own.all(1).mean()) < 0.97
    assert bool((jnp.diff(is_own.astype(int), axis=1) <= 0).all())
    assert set(np.unique(is_own.sum(1))) == set(range(1, 7))
    expected = 0.995 * variables["batch_stats"]["style"] + 0.005 * own.mean(0)
    np.testing.assert_allclose(updated["batch_stats"]["style"], expected, rtol=1e-5)


def test_each_style_works_at_its_own_size():
    """The last style changes no 8×8 feature map; the first changes all."""
    model, latents, variables = build()
    styles = jnp.repeat(model.apply(variables, latents, method="map")[:, None], 6, axis=1)

    def maps(styles):
        _, sown = model.apply(variables, styles, method="synthesize", mutable="intermediates")
        return sown["intermediates"]

    plain = maps(styles)
    late, early = maps(styles.at[:, -1].add(1)), maps(styles.at[:, 0].add(1))
    for name in ("4x4", "8x8"):
        np.testing.assert_array_equal(plain[name][0], late[name][0])
    assert not np.allclose(plain["16x16"][0], late["16x16"][0], atol=1e-3)
    assert not np.allclose(plain["4x4"][0], early["4x4"][0], atol=1e-3)


def test_deviation_over_a_group_finds_examples_that_are_alike():
    x = jax.random.normal(jax.random.key(0), (8, 2, 2, 3))
    found = deviation(x)[:, 0, 0, 0]
    for k in range(2):
        expected = np.asarray(x)[k::2].std(0).mean()
        np.testing.assert_allclose(found[k::2], expected, rtol=1e-4)


def test_discriminator_judges_an_image_by_those_beside_it():
    model = jdl.create_model("stylegan_discriminator", image_size=8, base_features=32)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    alone = model.apply(variables, images[:1])
    copies = model.apply(variables, jnp.broadcast_to(images[:1], images.shape))
    np.testing.assert_allclose(copies, np.repeat(alone, 4), rtol=1e-4)
    assert abs(model.apply(variables, images)[0] - alone[0]) > 1e-3


def test_discriminator_sees_every_pixel():
    model = jdl.create_model("stylegan_discriminator", image_size=16, base_features=64)
    images = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    gradient = jax.jit(jax.grad(lambda x: model.apply(variables, x).sum()))(images)
    assert bool((jnp.abs(gradient).max(-1) > 0).all())


def test_wrong_sizes_are_refused():
    with pytest.raises(UserError, match="image_size is 8, 16, 32, 64, .*, not 20"):
        jdl.create_model("stylegan_generator", image_size=20).init(
            jax.random.key(0), jnp.zeros((1, 512))
        )
    with pytest.raises(UserError, match="16x16 pixels, not 8x16"):
        jdl.create_model("stylegan_discriminator", image_size=16).init(
            jax.random.key(0), jnp.zeros((1, 8, 16, 3))
        )
    model, _, variables = build()
    with pytest.raises(UserError, match="6 layers take as many styles, not 5"):
        model.apply(variables, jnp.zeros((1, 5, 6)), method="synthesize")
