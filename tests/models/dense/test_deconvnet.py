import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)
TINY = {"widths": (2, 2, 2, 2, 2), "hidden": 4, "num_classes": 3}


def test_down_to_one_pixel_and_up_again():
    model = jdl.create_model("deconvnet")
    images = jnp.zeros((1, 224, 224, 3))
    names = ["pool5", "relu7", "deconv6", "unpool5", "deconv5", "deconv4", "deconv3", "deconv1"]

    def look(key):
        variables = model.init(key, images)
        return model.apply(variables, images), jdl.features(model, variables, images, names=names)

    logits, found = jax.eval_shape(look, KEY)
    assert logits.shape == (1, 224, 224, 21)
    assert [found[name].shape[1:] for name in names] == [
        (7, 7, 512),
        (1, 1, 4096),
        (7, 7, 512),
        (14, 14, 512),
        (14, 14, 512),
        (28, 28, 256),
        (56, 56, 128),
        (224, 224, 64),
    ]


def test_what_is_unpooled_lies_where_the_maxima_were():
    model = jdl.create_model("deconvnet", **TINY)
    images = jax.random.normal(KEY, (1, 224, 224, 3))
    variables = jax.jit(model.init)(KEY, images)
    names = ["unpool1", "deconv2"]
    found = jax.jit(lambda x: jdl.features(model, variables, x, names=names))(images)
    blocks = np.asarray(found["unpool1"]).reshape(1, 112, 2, 112, 2, 2)
    assert ((blocks != 0).sum((2, 4)) <= 1).all()
    np.testing.assert_array_equal(blocks.sum((2, 4)), found["deconv2"])
    # Switches are those of the image: mirrored, it has others.
    mirrored = jax.jit(lambda x: jdl.features(model, variables, x, names=names))(images[:, ::-1])
    places = [np.asarray(y["unpool1"]) != 0 for y in (found, mirrored)]
    assert (places[0] != places[1]).any()


def test_statistics_are_updated_when_training():
    model = jdl.create_model("deconvnet", **TINY)
    images = jax.random.normal(KEY, (2, 224, 224, 3))
    variables = jax.jit(model.init)(KEY, images)
    apply = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    _, updates = apply(variables, images)
    norms = updates["batch_stats"]
    assert len(norms) == 13 + 3 + 13
    assert all(norm["var"].any() and (norm["var"] != 1).any() for norm in norms.values())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 223, 300, 3), "DeconvNet takes images of 224x224 pixels or more, not 223x300"),
        ((1, 224, 224, 1), "these images have 1 channel, the network takes 3"),
    ],
)
def test_what_does_not_fit_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(jdl.create_model("deconvnet").init, KEY, jnp.zeros(shape))
