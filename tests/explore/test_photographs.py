import numpy as np
import pytest
from PIL import Image

from jdl.errors import UserError
from jdl.explore.photographs import read_image, read_photograph, read_picture, write_picture


def test_photographs_are_upright_and_in_colour(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0] = 255  # the upper edge, when the camera is held level
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter: what is left is shown on top
    image.save(tmp_path / "turned.png", exif=exif)
    turned = read_photograph(tmp_path / "turned.png")
    assert turned.shape == (6, 4, 3)
    np.testing.assert_array_equal(turned[:, -1], 255)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "grey.png"), pixels)


def test_grey_of_sixteen_bits_becomes_grey_of_eight(tmp_path):
    grey = np.arange(0, 256, 15, dtype=np.uint16).reshape(2, 9)
    Image.fromarray(257 * grey).save(tmp_path / "fine.png")
    for pixels in (
        read_photograph(tmp_path / "fine.png")[..., 0],
        read_picture(tmp_path / "fine.png", channels=1)[..., 0],
        255 * read_image(tmp_path / "fine.png", (2, 9, 1), convert=False)[..., 0],
    ):
        np.testing.assert_allclose(pixels, grey, atol=1e-4)


def test_files_that_are_no_images(tmp_path):
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 60), np.uint8)).save(
        tmp_path / "half.png"
    )
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:900])
    with pytest.raises(UserError, match="half.png cannot be read as an image$"):
        read_photograph(tmp_path / "half.png")
    (tmp_path / "text.png").write_text("a cat")
    for path in (tmp_path / "text.png", tmp_path):
        with pytest.raises(UserError, match="cannot be read as an image$"):
            read_photograph(path)
    with pytest.raises(UserError, match="nothing.png .* there is no such file"):
        read_photograph(tmp_path / "nothing.png")


def test_images_are_converted_only_when_asked(tmp_path):
    Image.fromarray(np.full((4, 6, 3), 51, np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="is 4×6×3 .* the network takes 2×2×1"):
        read_image(tmp_path / "x.png", (2, 2, 1), convert=False)
    x = read_image(tmp_path / "x.png", (2, 2, 1), convert=True)
    np.testing.assert_allclose(x, np.full((2, 2, 1), 0.2), atol=1e-6)


def test_a_picture_has_as_many_channels_as_the_network_takes(tmp_path):
    grey, colour = tmp_path / "grey.png", tmp_path / "colour.png"
    Image.fromarray(np.full((4, 6), 51, np.uint8)).save(grey)
    Image.fromarray(np.full((4, 6, 4), 51, np.uint8)).save(colour)  # transparent
    with pytest.raises(UserError, match="is grey, but the network takes red, green and blue"):
        read_picture(grey)
    with pytest.raises(UserError, match="is in colour, but the network takes grey images"):
        read_picture(colour, channels=1)
    assert read_picture(grey, channels=1).shape == (4, 6, 1)
    assert read_picture(colour, largest=3).shape == (2, 3, 3)
    np.testing.assert_array_equal(read_picture(grey, convert=True), np.full((4, 6, 3), 51))


def test_a_written_picture_is_read_again(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (4, 6, 3))
    write_picture(tmp_path / "x.png", pixels / 255)
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png"), pixels)
    write_picture(tmp_path / "y.png", np.array([-1.0, 2.0]).reshape(1, 2, 1))
    assert read_picture(tmp_path / "y.png", channels=1).ravel().tolist() == [0, 255]
