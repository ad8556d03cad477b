import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.vision.swin import PatchMerging, WindowAttention, relative_position_index

KEY = jax.random.key(0)
SMALL = {"width": 8, "num_heads": (1, 2, 2, 4), "stage_sizes": (1, 2, 1, 1), "window": 4}


def small(**overrides):
    return jdl.create_model("swin_t", **{**SMALL, "num_classes": 5, **overrides})


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(KEY, (2, 64, 64, 3))


@pytest.fixture(scope="module")
def variables(images):
    return jax.jit(small().init)(KEY, images)


def test_stages_halve_the_map_and_double_the_width():
    model = jdl.create_model("swin_t")
    names = ["patches", "stage1", "stage2", "stage3", "stage4", "pooled"]

    def look(key):
        images = jnp.zeros((1, 224, 224, 3))
        return jdl.features(model, model.init(key, images), images, names=names)

    found = jax.eval_shape(look, KEY)
    maps = [(56, 56, 96), (56, 56, 96), (28, 28, 192), (14, 14, 384), (7, 7, 768), (768,)]
    assert [found[name].shape[1:] for name in names] == maps


@pytest.mark.parametrize(("height", "width"), [(4, 4), (33, 47), (64, 128)])
def test_any_size(height, width):
    model = small()
    images = jnp.zeros((1, height, width, 3))
    logits, variables = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert logits.shape == (1, 5)
    assert (
        variables["params"] == jax.eval_shape(model.init, KEY, jnp.zeros((1, 64, 64, 3)))["params"]
    )


def test_index_depends_on_the_displacement_alone():
    index = relative_position_index(3)
    assert (index.shape, index.min(), index.max()) == ((9, 9), 0, 24)
    displacements = {}
    for i in range(9):
        for j in range(9):
            displacement = (i // 3 - j // 3, i % 3 - j % 3)
            assert displacements.setdefault(displacement, index[i, j]) == index[i, j]
    assert len(set(displacements.values())) == 25


def who_sees_whom(size, window, shift):
    """Tells, for each pixel of a map, which pixels its value depends on."""
    model = WindowAttention(1, window, shift)
    x = jax.random.normal(KEY, (1, *size, 4))
    variables = model.init(KEY, x)
    jacobian = jax.jacobian(lambda x: model.apply(variables, x).sum(-1))(x)
    # exp(−100) is not quite nothing.
    return np.asarray(jnp.abs(jacobian[0, :, :, 0]).max(-1)) > 1e-12


@pytest.mark.parametrize("shift", [0, 2])
def test_attention_stays_in_its_window(shift):
    # Moved windows end two pixels earlier, and the first and the last pixels do not meet.
    ends = [4, 8] if shift == 0 else [2, 6, 8]
    window = np.digitize(np.arange(8), ends)
    same = window[:, None] == window
    expected = same[:, None, :, None] & same[None, :, None, :]
    np.testing.assert_array_equal(who_sees_whom((8, 8), 4, shift), expected)


def test_a_map_of_one_window_is_not_moved():
    assert who_sees_whom((4, 4), 4, 2).all()
    # Along the other axis it is.
    seen = who_sees_whom((4, 8), 4, 2)
    window = np.digitize(np.arange(8), [2, 6])
    expected = np.broadcast_to((window[:, None] == window)[None, :, None, :], (4, 8, 4, 8))
    np.testing.assert_array_equal(seen, expected)


def test_merging_takes_neighbours_by_columns():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    layer = PatchMerging()
    variables = layer.init(KEY, x)["params"]
    kernel = jnp.zeros((4, 2)).at[1, 0].set(1)  # The second of the four.
    y = layer.apply({"params": {**variables, "reduction": {"kernel": kernel}}}, x)
    # The third pixel, 2, normalised among 0, 1, 2, 3.
    np.testing.assert_allclose(y.ravel()[0], 0.5 / np.sqrt(1.25), rtol=1e-4)


def test_stochastic_depth_only_when_training(variables, images):
    expected = small(stochastic_depth_rate=0.0).apply(variables, images, train=True)
    model = small(stochastic_depth_rate=0.5)
    np.testing.assert_array_equal(model.apply(variables, images), expected)
    drawn = [
        model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(i)})
        for i in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert float(jnp.abs(drawn[0] - drawn[2]).max()) > 1e-4


def test_a_rate_of_one_leaves_the_last_layer_out(variables, images):
    model = small(stochastic_depth_rate=1.0)
    _, state = model.apply(
        variables,
        images,
        train=True,
        rngs={"dropout": KEY},
        mutable=["intermediates"],
        capture_intermediates=True,
    )
    seen = state["intermediates"]
    np.testing.assert_array_equal(seen["stage4"][0], seen["features.6"]["__call__"][0])
    assert float(jnp.abs(seen["stage1"][0] - seen["patches"][0]).max()) > 0


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 64, 3), "Swin takes images of 4x4 pixels or more, not 3x64"),
        ((1, 64, 64, 1), "these images have 1 channel, the network takes 3"),
    ],
)
def test_what_does_not_fit_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(small().init, KEY, jnp.zeros(shape))


def test_half_precision_keeps_parameters_in_single(images):
    logits, variables = jax.eval_shape(
        lambda: small(dtype=jnp.bfloat16).init_with_output(KEY, images)
    )
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
