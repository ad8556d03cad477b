import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)
TINY = {"widths": (4, 4, 4, 4, 4), "hidden": 8, "num_classes": 3}
NAMES = ["fcn32s", "fcn16s", "fcn8s"]


@pytest.mark.parametrize("name", [*NAMES, "fcn_resnet50"])
@pytest.mark.parametrize("size", [(1, 1), (33, 100), (64, 31), (500, 375)])
def test_as_many_logits_as_pixels(name, size):
    images = jnp.zeros((1, *size, 3))
    model = jdl.create_model(name)
    logits, _ = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert logits.shape == (1, *size, 21)


@pytest.mark.parametrize(
    ("name", "kernels", "total"),
    [
        ("fcn32s", [64], 136_152_917),
        ("fcn16s", [4, 32], 134_815_994),
        ("fcn8s", [4, 4, 16], 134_489_759),
    ],
)
def test_with_the_fixed_kernels_there_are_as_many_numbers_as_in_the_authors_files(
    name, kernels, total
):
    assert jdl.model_info(name).params + sum((21 * size) ** 2 for size in kernels) == total


SCORES = [
    ("fcn32s", "score_fr"),
    ("fcn16s", "score_fr"),
    ("fcn16s", "score_pool4"),
    ("fcn8s", "score_fr"),
    ("fcn8s", "score_pool4"),
    ("fcn8s", "score_pool3"),
]


@pytest.mark.parametrize(("name", "score"), SCORES)
def test_what_is_seen_stays_where_it_is(name, score):
    """Of convolutions that change nothing, the logits stand around each pixel, not beside it."""
    model = jdl.create_model(name, widths=(1,) * 5, hidden=1, num_classes=1)
    shapes = jax.eval_shape(model.init, KEY, jnp.zeros((1, 8, 8, 3)))["params"]
    params = {}
    for layer, leaves in shapes.items():
        rows, columns, *_ = leaves["kernel"].shape
        value = float(layer == score or not layer.startswith("score"))
        kernel = jnp.zeros(leaves["kernel"].shape).at[rows // 2, columns // 2].set(value)
        params[layer] = {"kernel": kernel, "bias": jnp.zeros(1)}

    @jax.jit
    def centre(row):
        images = jnp.zeros((1, 256, 9, 3)).at[:, row].set(1.0)
        profile = model.apply({"params": params}, images)[0, :, 4, 0]
        return (profile * jnp.arange(256)).sum() / profile.sum()

    rows = range(112, 144)  # as many as the largest pixels of the maps have
    assert np.mean([float(centre(row)) - row for row in rows]) == pytest.approx(0, abs=1e-3)


def test_scores_start_at_zero_and_dropout_is_for_training():
    model = jdl.create_model("fcn8s", **TINY)
    images = jax.random.normal(KEY, (1, 40, 40, 3))
    variables = jax.jit(model.init)(KEY, images)
    assert not jax.jit(model.apply)(variables, images).any()
    kernel = variables["params"]["score_fr"]["kernel"]
    variables["params"]["score_fr"]["kernel"] = jax.random.normal(KEY, kernel.shape)

    @jax.jit
    def drawn(seed):
        return model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})

    assert not jnp.allclose(drawn(0), drawn(1))
    jax.eval_shape(model.apply, variables, images)  # asks for no key


def test_intermediates():
    model = jdl.create_model("fcn8s")
    images = jnp.zeros((1, 500, 500, 3))
    names = ["pool3", "pool4", "pool5", "relu6", "relu7", "scores"]

    def look(key):
        return jdl.features(model, model.init(key, images), images, names=names)

    found = jax.eval_shape(look, KEY)
    assert [found[name].shape[1:3] for name in names] == [
        (88, 88),
        (44, 44),
        (22, 22),
        (16, 16),
        (16, 16),
        (70, 70),
    ]


def test_the_resnets_last_maps_have_an_eighth_of_the_size():
    model = jdl.create_model("fcn_resnet50")
    images = jnp.zeros((1, 520, 515, 3))
    names = ["backbone.layer2", "backbone.layer3", "backbone.layer4", "scores"]

    def look(key):
        return jdl.features(model, model.init(key, images), images, names=names)

    found = jax.eval_shape(look, KEY)
    assert [found[name].shape[1:3] for name in names] == [(65, 65)] * 4


@pytest.mark.parametrize("name", ["fcn8s", "fcn_resnet50"])
def test_another_number_of_channels_is_refused(name):
    with pytest.raises(UserError, match="1 channel, the network takes 3"):
        jax.eval_shape(jdl.create_model(name).init, KEY, jnp.zeros((1, 64, 64, 1)))
