import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jdl.errors import UserError
from jdl.explore.style import gram, style_layers, style_transfer, total_variation


def look():
    """Two layers of a random network."""
    kernels = [jax.random.normal(jax.random.key(i), (3, 3, n, 8)) / 4 for i, n in ((0, 3), (1, 8))]

    def maps(kernels, images):
        found, x = {}, images - 0.5
        for i, kernel in enumerate(kernels, 1):
            x = jax.lax.conv_general_dilated(
                x, kernel, (i, i), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = found[f"relu{i}"] = jax.nn.relu(x)
        return found

    return Partial(maps, kernels)


def pictures():
    """A gradient from left to right, and red stripes."""
    content = jnp.broadcast_to(jnp.linspace(0, 1, 24)[None, :, None], (16, 24, 3))
    stripes = (jnp.arange(20) // 3 % 2)[:, None, None] * jnp.array([[[1.0, 0.2, 0.2]]])
    return content, jnp.broadcast_to(stripes, (20, 20, 3))


def losses(picture, content, style):
    see = lambda x: look()(x[None])
    of_picture, of_content, of_style = map(see, (picture, content, style))
    content_loss = jnp.square(of_picture["relu2"] - of_content["relu2"]).mean()
    style_loss = jnp.square(gram(of_picture["relu1"]) - gram(of_style["relu1"])).mean()
    return float(content_loss), float(style_loss)


def test_the_weight_decides_between_content_and_style():
    content, style = pictures()
    layers = {"content_layers": ["relu2"], "style_layers": ["relu1"]}
    found = {}
    for weight in (0.01, 100.0):
        advanced = []
        painted = style_transfer(
            look(),
            content,
            style,
            **layers,
            style_weight=weight,
            steps=60,
            advance=lambda advanced=advanced: advanced.append(1),
        )
        assert len(advanced) == 120
        assert painted.shape == content.shape
        assert 0 <= float(painted.min()) <= float(painted.max()) <= 1
        found[weight] = losses(painted, content, style)
    before = losses(content, content, style)
    assert found[100.0][1] < 0.1 * before[1]
    assert found[0.01][1] > 2 * found[100.0][1]
    assert found[0.01][0] < 0.5 * found[100.0][0]


def test_gram_matrices_know_nothing_of_places():
    maps = jax.random.normal(jax.random.key(0), (2, 4, 6, 5))
    mixed = jax.random.permutation(jax.random.key(1), maps.reshape(2, 24, 5), axis=1)
    np.testing.assert_allclose(gram(maps), gram(mixed.reshape(2, 6, 4, 5)), rtol=1e-5, atol=1e-6)
    by_hand = np.einsum("bhwi,bhwj->bij", maps, maps) / 24
    np.testing.assert_allclose(gram(maps), by_hand, rtol=1e-5, atol=1e-6)


def test_roughness():
    assert float(total_variation(jnp.ones((1, 4, 4, 3)))) == 0
    checks = jnp.indices((4, 4)).sum(0)[None, :, :, None] % 2.0
    assert float(total_variation(checks)) == 1.0


def test_layers_are_the_papers_or_one_of_each_size():
    vgg = {f"relu{s}_{i}": (64 // 2**s, 64 // 2**s, 8) for s in range(1, 6) for i in range(1, 5)}
    assert style_layers(vgg) == (["relu4_2"], [f"relu{s}_1" for s in range(1, 6)])
    lite = {"stem": (8, 8, 2), "stage1": (8, 8, 3), "stage2": (4, 4, 2), "head": (4, 4, 5)}
    assert style_layers(lite) == (["stage2"], ["stem", "stage2"])


def test_nothing_to_do_is_refused():
    content, style = pictures()
    with pytest.raises(UserError, match="not 2 and 0"):
        style_transfer(
            look(), content, style, content_layers=["relu1"], style_layers=["relu1"], steps=0
        )
    with pytest.raises(UserError, match="one for the style"):
        style_transfer(look(), content, style, content_layers=["relu1"], style_layers=[])
