import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jdl
from jdl.errors import UserError
from jdl.explore.explain import Explanation, contrast, explainer, explanation_figure, heat
from jdl.explore.networks import Network, pretrained_network
from jdl.models.vision.vit import VisionTransformer
from jdl.ops.preprocessing import Preprocessing


def network(model, size, channels=3):
    images = jnp.zeros((1, size, size, channels))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    variables = {name: part for name, part in variables.items() if name != "intermediates"}
    names = [str(k) for k in range(10)]
    return Network("net", model, variables, lambda x: x - 0.5, images.shape[1:], names)


VIT = VisionTransformer(8, 8, 2, 2, 8, image_size=16, num_classes=10)


@pytest.mark.parametrize(
    ("model", "size", "channels", "titles"),
    [
        (
            jdl.create_model("lenet5_relu"),
            28,
            1,
            ["gradient", "guided backpropagation", "deconvnet from s4"],
        ),
        (jdl.create_model("lenet5"), 28, 1, ["gradient"]),
        (VIT, 16, 3, ["gradient", "attention, rolled out"]),
    ],
)
def test_every_map_that_there_is(model, size, channels, titles):
    picture = np.random.RandomState(0).rand(size, size, channels).astype(np.float32)
    found = explainer(network(model, size, channels))(picture)
    assert list(found.maps) == titles
    probabilities = [p for _, p in found.answers]
    assert probabilities == sorted(probabilities, reverse=True)
    for shown in found.maps.values():
        assert shown.shape[:2] == picture.shape[:2]
        assert 0 <= shown.min() <= shown.max() <= 1
    assert len(explanation_figure(found).axes) == 1 + len(titles)


def test_maps_are_brightest_where_they_are_largest():
    values = np.zeros((4, 4))
    values[1, 2] = 1.0
    shown = heat(values, np.full((8, 8, 3), 0.5)).sum(-1)
    assert np.unravel_index(shown.argmax(), shown.shape)[0] in (2, 3)
    assert np.unravel_index(shown.argmax(), shown.shape)[1] in (4, 5)
    assert heat(0 * values, np.ones((8, 8, 3))).max() < 0.5
    np.testing.assert_array_equal(contrast(np.zeros((2, 2, 1))), np.full((2, 2, 1), 0.5))


def test_the_figure_says_what_it_is():
    grey = np.full((8, 8, 3), 0.5)
    figure = explanation_figure(Explanation(grey, [("cat", 0.5), ("dog", 0.4)], {}))
    assert [axes.get_title() for axes in figure.axes] == ["cat 50.0 %"]


class Means(nn.Module):
    """Logits that are the means of red, green and blue."""

    @nn.compact
    def __call__(self, images):
        return images.mean((1, 2))


def test_pictures_are_what_the_weights_expect(tmp_path):
    expected = Preprocessing(8, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    net = pretrained_network("means", Means(), {}, expected)
    Image.fromarray(np.full((9, 12, 3), (255, 0, 0), np.uint8)).save(tmp_path / "red.png")
    picture = net.read(tmp_path / "red.png")
    np.testing.assert_allclose(picture, np.broadcast_to([1.0, 0.0, 0.0], (8, 8, 3)), atol=1e-6)
    score = net.score(0)(jnp.asarray(picture)[None])
    np.testing.assert_allclose(score, [2.0], rtol=1e-6)  # (1 − 0.5) / 0.25
    probabilities = net.probabilities(jnp.asarray(picture)[None])
    np.testing.assert_allclose(probabilities[0], jax.nn.softmax(jnp.array([2.0, -2.0, -2.0])))
    assert net.class_number("class 2") == net.class_number("2") == 2
    Image.fromarray(np.zeros((9, 12), np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(UserError, match="grey.png is grey, but the network takes red, green and"):
        net.read(tmp_path / "grey.png")
    assert net.read(tmp_path / "grey.png", convert=True).shape == (8, 8, 3)
