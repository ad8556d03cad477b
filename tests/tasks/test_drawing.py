"""Where grids put their images, seen in the pixels."""

import numpy as np
import pytest

from jdl.tasks.drawing import alignment_figure, image_grid


def drawn(figure):
    """The figure's pixels, as an average of colours in [0, 1]."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].mean(-1) / 255


@pytest.mark.parametrize("options", [{}, {"titles": ["a"] * 5}, {"title": "Five of them"}])
def test_images_follow_each_other_in_rows(options):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    shades = np.array([0.1, 0.3, 0.5, 0.7, 0.9], np.float32)
    figure = image_grid(np.tile(shades[:, None, None, None], (1, 6, 9, 1)), columns=3, **options)
    FigureCanvasAgg(figure)
    pixels = drawn(figure)
    centres = []
    for shade in shades:
        y, x = np.nonzero(abs(pixels - shade) < 0.01)
        # Of text, single pixels may have the shade of an image.
        centres.append((np.median(y), np.median(x)))
    y, x = np.transpose(centres)
    np.testing.assert_allclose(y[:3], y[0], atol=2)
    np.testing.assert_allclose(y[3:], y[3], atol=2)
    assert y[3] > y[0] + 30  # lower on the page
    np.testing.assert_allclose(np.diff(x[:3]), x[1] - x[0], atol=2)
    np.testing.assert_allclose(x[3:], x[:2], atol=2)
    assert x[1] > x[0] + 50


def test_signed_images_are_red_above_zero_and_blue_below():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = image_grid(np.array([-1.0, 1.0], np.float32).reshape(1, 1, 2, 1), signed=True)
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    middle = pixels[len(pixels) // 2, :, :3].astype(int)
    left, right = middle[len(middle) // 4], middle[3 * len(middle) // 4]
    assert left[2] > left[0] + 50
    assert right[0] > right[2] + 50


def test_pictures_of_alignments_are_cut_to_what_is_there():
    figure = alignment_figure([("abc", ["A", "B"], np.eye(6)[:5])])
    (image,) = figure.axes[0].get_images()
    assert image.get_array().shape == (3, 3)
