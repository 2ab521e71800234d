"""Whatever people have becomes upright RGB."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.config import UserError
from captioner.data.pictures import picture_bytes


def photo() -> Image.Image:
    """Red above, blue below, wider than high."""
    pixels_HxWx3 = np.zeros((20, 30, 3), np.uint8)
    pixels_HxWx3[:10, :, 0] = pixels_HxWx3[10:, :, 2] = 200
    return Image.fromarray(pixels_HxWx3)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.mode == "RGB"
    return image


def test_a_plain_jpeg_stays_as_it_is(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg")
    assert picture_bytes(tmp_path / "a.jpg") == (tmp_path / "a.jpg").read_bytes()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *[("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P"), ("a.webp", "RGB"), ("a.bmp", "RGB"), ("a.gif", "P")],
        *[("a.tiff", "CMYK"), ("a.jpg", "CMYK"), ("a.png", "LA"), ("a.jpg", "L"), ("a.png", "1")],
    ],
)
def test_other_formats_keep_their_look(name: str, mode: str, tmp_path: Path) -> None:
    photo().convert(mode).save(tmp_path / name)
    seen = np.asarray(opened(picture_bytes(tmp_path / name))).astype(int)
    assert seen.shape == (20, 30, 3)
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        assert abs(seen[3, 5] - (200, 0, 0)).max() < 12
        assert abs(seen[16, 5] - (0, 0, 200)).max() < 12


def test_exif_turns_a_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    photo().save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = opened(picture_bytes(tmp_path / "a.jpg"))
    assert image.size == (20, 30)
    assert image.getpixel((16, 15))[0] > 150  # what was above is on the right
    assert image.getexif().get(0x0112, 1) == 1


def test_sixteen_bits_and_transparency(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert opened(picture_bytes(tmp_path / "deep.png")).getpixel((1, 1)) == (128, 128, 128)
    assert opened(picture_bytes(tmp_path / "clear.png")).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tiff"])
def test_damaged_pictures_are_named(name: str, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{name} is (damaged|no picture)"):
        picture_bytes(tmp_path / name)


def test_what_is_no_picture_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    for name, what in (("notes.jpg", "no picture"), ("empty.jpg", "no picture"), ("none.jpg", "cannot be read")):
        with pytest.raises(UserError, match=what) as caught:
            picture_bytes(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        picture_bytes(tmp_path)
