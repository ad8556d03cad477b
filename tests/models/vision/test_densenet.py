import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.vision.densenet import DenseNet

KEY = jax.random.key(0)


def shapes(name, size):
    """Shapes of the logits, the intermediates and the parameters."""
    model, images = jdl.create_model(name), jnp.zeros((2, size, size, 3))

    def look(key):
        variables = model.init(key, images)
        return *model.apply(variables, images, mutable=["intermediates"]), variables["params"]

    logits, state, params = jax.eval_shape(look, KEY)
    return (
        logits.shape,
        {name: found[0].shape for name, found in state["intermediates"].items()},
        params,
    )


@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        ("densenet121", 121),
        ("densenet264", 265),  # The paper's own miscount.
        ("densenet40_12", 40),
        ("densenet_bc_100_12", 100),
    ],
)
def test_layers_with_weights(name, weighted):
    size = 224 if weighted in (121, 265) else 32
    _, _, params = shapes(name, size)
    kernels = [p for p, _ in jax.tree.leaves_with_path(params) if p[-1].key == "kernel"]
    assert len(kernels) == weighted


def test_shapes_of_table_1():
    logits, offered, _ = shapes("densenet121", 224)
    assert logits == (2, 1000)
    assert offered == {
        "stem": (2, 56, 56, 64),
        "denseblock1": (2, 56, 56, 64 + 6 * 32),
        "transition1": (2, 28, 28, 128),
        "denseblock2": (2, 28, 28, 128 + 12 * 32),
        "transition2": (2, 14, 14, 256),
        "denseblock3": (2, 14, 14, 256 + 24 * 32),
        "transition3": (2, 7, 7, 512),
        "denseblock4": (2, 7, 7, 512 + 16 * 32),
        "pooled": (2, 1024),
    }


def test_shapes_for_cifar():
    _, offered, params = shapes("densenet40_12", 32)
    assert offered["transition1"] == (2, 16, 16, 16 + 12 * 12)
    assert offered["pooled"] == (2, 16 + 36 * 12)
    assert "conv2" not in params["features.denseblock1.denselayer1"]
    _, offered, params = shapes("densenet_bc_100_12", 32)
    assert offered["transition1"] == (2, 16, 16, (24 + 16 * 12) // 2)
    assert params["features.denseblock1.denselayer1"]["conv1"]["kernel"].shape == (1, 1, 24, 48)


def tiny(**options):
    return DenseNet(
        block_sizes=(2, 2),
        num_classes=3,
        growth_rate=4,
        stem_features=8,
        small_images=True,
        **options,
    )


def test_later_layers_get_the_maps_of_earlier_ones_unchanged():
    images = jax.random.normal(KEY, (2, 8, 8, 3))
    model = tiny()
    _, state = jax.jit(lambda: model.init_with_output(KEY, images))()
    _, seen = model.apply(state, images, mutable=["intermediates"])
    stem, block = (seen["intermediates"][name][0] for name in ("stem", "denseblock1"))
    np.testing.assert_array_equal(block[..., :8], stem)
    assert block.shape[-1] == 16


def test_dropout_only_when_training():
    images = jax.random.normal(KEY, (2, 8, 8, 3))
    model = tiny(dropout_rate=0.2)
    variables = jax.jit(model.init)(KEY, images)

    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])

    (one, statistics), (other, _) = train(1), train(2)
    assert not np.allclose(one, other)
    assert statistics["batch_stats"].keys() == variables["batch_stats"].keys()
    still = model.apply(variables, images)
    np.testing.assert_array_equal(still, tiny().apply(variables, images))


def test_another_number_of_channels_is_refused():
    with pytest.raises(UserError, match="1 channel, the network takes 3"):
        tiny().init(KEY, jnp.zeros((1, 8, 8, 1)))
