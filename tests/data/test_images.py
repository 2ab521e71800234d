"""Conversion of image files to upright RGB."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.common.errors import UserError
from captioner.data.images import read_image


def make_image() -> Image.Image:
    """Return an image whose upper half is red and whose lower half is blue, wider than high."""
    pixels_HxWx3 = np.zeros((20, 30, 3), np.uint8)
    pixels_HxWx3[:10, :, 0] = pixels_HxWx3[10:, :, 2] = 200
    return Image.fromarray(pixels_HxWx3)


def open_rgb(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.mode == "RGB"
    return image


def test_upright_rgb_jpeg_is_unchanged(tmp_path: Path) -> None:
    make_image().save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg") == (tmp_path / "a.jpg").read_bytes()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *[("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P"), ("a.webp", "RGB"), ("a.bmp", "RGB"), ("a.gif", "P")],
        *[("a.tiff", "CMYK"), ("a.jpg", "CMYK"), ("a.png", "LA"), ("a.jpg", "L"), ("a.png", "1")],
    ],
)
def test_other_formats_keep_their_colours(name: str, mode: str, tmp_path: Path) -> None:
    make_image().convert(mode).save(tmp_path / name)
    pixels_HxWx3 = np.asarray(open_rgb(read_image(tmp_path / name))).astype(int)
    assert pixels_HxWx3.shape == (20, 30, 3)
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        assert abs(pixels_HxWx3[3, 5] - (200, 0, 0)).max() < 12
        assert abs(pixels_HxWx3[16, 5] - (0, 0, 200)).max() < 12


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise
    make_image().save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = open_rgb(read_image(tmp_path / "a.jpg"))
    assert image.size == (20, 30)
    assert image.getpixel((16, 15))[0] > 150  # the upper half is now on the right
    assert image.getexif().get(0x0112, 1) == 1


def test_sixteen_bits_are_scaled_and_transparency_becomes_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "transparent.png")
    assert open_rgb(read_image(tmp_path / "deep.png")).getpixel((1, 1)) == (128, 128, 128)
    assert open_rgb(read_image(tmp_path / "transparent.png")).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tiff"])
def test_error_names_the_damaged_image(name: str, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{name} is (damaged|not an image)"):
        read_image(tmp_path / name)


def test_files_that_are_no_images_give_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    for name, reason in (("notes.jpg", "not an image"), ("empty.jpg", "not an image"), ("none.jpg", "cannot be read")):
        with pytest.raises(UserError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_image(tmp_path)
