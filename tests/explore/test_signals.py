import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from jdl.cli import main
from jdl.errors import UserError
from jdl.explore.signals import filter_figure, filtered
from jdl.ops.filters import MASKS

PHOTOGRAPH = np.random.RandomState(0).randint(0, 256, (64, 96, 3), np.uint8)


def test_every_picture_is_what_its_name_says():
    pictures = filtered(PHOTOGRAPH)
    assert next(iter(pictures)) == "photograph"
    assert {name.replace("_", " ") for name in MASKS} < set(pictures)
    colours = PHOTOGRAPH / 255
    np.testing.assert_allclose(pictures["photograph"], colours, atol=1e-6)
    grey = colours @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(pictures["sobel x"][..., 0], scipy.ndimage.sobel(grey, 1), atol=1e-5)
    medians = scipy.ndimage.median_filter(colours, (7, 7, 1))
    np.testing.assert_allclose(pictures["median 7x7"], medians, atol=1e-6)
    hues = pictures["sobel: direction as hue"]
    assert hues.shape == colours.shape
    rising = (pictures["sobel x"] > 1) & (abs(pictures["sobel y"]) < 0.05)
    assert rising.any()
    assert (hues[rising[..., 0]].argmax(-1) == 0).all()
    specks = (pictures["10% specks"] != pictures["photograph"]).any(-1).mean()
    assert 0.07 < specks < 0.13


def test_a_filter_has_the_spectrum_that_its_equation_says():
    pictures = filtered(PHOTOGRAPH)
    frequencies = np.fft.fftshift(np.fft.fftfreq(64))
    f = np.hypot(frequencies[:, None], frequencies[None])
    for name, expected in {
        "gaussian low pass": np.exp(-2 * (np.pi * 4 * f) ** 2),
        "low pass": f <= 0.06,
    }.items():
        found = pictures[f"{name}: its spectrum"][..., 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        again = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(found))).real
        np.testing.assert_allclose(pictures[f"{name}: filter"][..., 0], again, atol=1e-5)


def test_specks_go_by_the_median_and_stay_by_the_mean():
    smooth = np.broadcast_to(np.linspace(60, 180, 96)[None, :, None], (64, 96, 3)).astype(np.uint8)
    pictures = filtered(smooth)
    errors = {
        name: abs(pictures[f"specks: {name} 3x3"] - pictures["photograph"]).mean()
        for name in ("median", "box")
    }
    assert errors["median"] < 0.2 * errors["box"]


def test_each_picture_has_a_place_on_the_page():
    figure = filter_figure(PHOTOGRAPH)
    titles = [axis.get_title() for axis in figure.axes if axis.get_images()]
    assert titles == list(filtered(PHOTOGRAPH))


def test_the_command_writes_a_page_for_each_photograph(tmp_path, capsys, refused):
    photograph = tmp_path / "noise.png"
    Image.fromarray(PHOTOGRAPH).save(photograph)
    main(["filters", str(photograph), "--output", str(tmp_path / "pages")])
    page = tmp_path / "pages" / "noise_filters.png"
    assert capsys.readouterr().out.split() == [str(page)]
    assert Image.open(page).width > 1000

    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    assert "cannot be read as an image" in refused("filters", broken)


def test_what_is_too_small_is_refused():
    with pytest.raises(UserError, match="63x96 pixels is too small: 64x64 at least"):
        filtered(PHOTOGRAPH[:63])
