"""Pictures as people have them: each becomes an upright RGB picture, or one line that names it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import jpeg_of_scans, png_of
from PIL import Image, PngImagePlugin

from captioner.config import UserError
from captioner.data.pictures import picture_bytes

RED, BLUE = (200, 0, 0), (0, 0, 200)


def photo(mode: str = "RGB", width: int = 32, height: int = 24) -> Image.Image:
    """Red above, blue below."""
    pixels_HxWx3 = np.zeros((height, width, 3), np.uint8)
    pixels_HxWx3[: height // 2], pixels_HxWx3[height // 2 :] = RED, BLUE
    return Image.fromarray(pixels_HxWx3).convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photo(), "JPEG", exif=exif, quality=95)


def moving(format: str) -> bytes:
    later = Image.new("RGB", (32, 24), "white")
    return saved(photo(), format, save_all=True, append_images=[later], duration=100)


def text_bomb() -> bytes:
    """A PNG of a few kilobytes whose comment unpacks to 200 MB."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 200_000_000, zip=True)
    return saved(photo(), "PNG", pnginfo=notes)


def deep(format: str) -> bytes:
    """Grey of 16 bits: light above, dark below."""
    grey_HxW = np.full((24, 32), 10_000, np.uint16)
    grey_HxW[:12] = 50_000
    return saved(Image.fromarray(grey_HxW), format)


def half_clear(mode: str) -> bytes:
    """Nothing to be seen of its lower half."""
    image = photo(mode)
    alpha_HxW = np.full((24, 32), 255, np.uint8)
    alpha_HxW[12:] = 0
    image.putalpha(Image.fromarray(alpha_HxW))
    return saved(image, "PNG")


def one_bit() -> bytes:
    return saved(photo("L").point(lambda value: 255 * (value > 40)).convert("1"), "PNG")


def numbers() -> bytes:
    """A TIFF of floats in a range of its own."""
    return saved(Image.fromarray(np.linspace(-1, 3, 24 * 32, dtype=np.float32).reshape(24, 32)), "TIFF")


Pixels = dict[tuple[int, int], tuple[int, int, int]]  # by row and column
UPRIGHT: Pixels = {(4, 5): RED, (20, 5): BLUE}
GREY: Pixels = {(4, 5): (60, 60, 60), (20, 5): (23, 23, 23)}  # 0.299 of red's 200, 0.114 of blue's
HALF: Pixels = {(4, 5): RED, (20, 5): (255, 255, 255)}
DEEP: Pixels = {(4, 5): (195, 195, 195), (20, 5): (39, 39, 39)}  # 50,000 and 10,000 of 65,535
SEEN: dict[str, tuple[Callable[[], bytes], tuple[int, int], Pixels]] = {
    "JPEG": (lambda: saved(photo(), "JPEG", quality=95), (32, 24), UPRIGHT),
    "progressive JPEG": (lambda: saved(photo(), "JPEG", progressive=True, quality=95), (32, 24), UPRIGHT),
    "grey JPEG": (lambda: saved(photo("L"), "JPEG"), (32, 24), GREY),
    "CMYK JPEG": (lambda: saved(photo("CMYK"), "JPEG", quality=95), (32, 24), UPRIGHT),
    "JPEG with two pictures (MPO)": (lambda: moving("MPO"), (32, 24), UPRIGHT),
    "JPEG turned by EXIF, 3": (lambda: turned(3), (32, 24), {(4, 5): BLUE, (20, 5): RED}),
    "JPEG turned by EXIF, 6": (lambda: turned(6), (24, 32), {(16, 20): RED, (16, 3): BLUE}),
    "JPEG mirrored by EXIF, 5": (lambda: turned(5), (24, 32), {(16, 3): RED, (16, 20): BLUE}),
    "JPEG with EXIF that makes no sense": (lambda: turned(77), (32, 24), UPRIGHT),
    "JPEG with something behind its end": (lambda: saved(photo(), "JPEG") + b"trailing" * 9, (32, 24), UPRIGHT),
    "JPEG with a film behind its end": (lambda: saved(photo(), "JPEG") + b"\xff\xda" * 999, (32, 24), UPRIGHT),
    "PNG": (lambda: saved(photo(), "PNG"), (32, 24), UPRIGHT),
    "PNG with a palette": (lambda: saved(photo("P"), "PNG"), (32, 24), UPRIGHT),
    "PNG of one bit": (one_bit, (32, 24), {(4, 5): (255, 255, 255), (20, 5): (0, 0, 0)}),
    "PNG of 16 bits": (lambda: deep("PNG"), (32, 24), DEEP),
    "PNG, transparent": (lambda: half_clear("RGBA"), (32, 24), HALF),
    "PNG, grey and transparent": (lambda: half_clear("LA"), (32, 24), HALF | {(4, 5): (60, 60, 60)}),
    "animated PNG": (lambda: moving("PNG"), (32, 24), UPRIGHT),
    "animated GIF": (lambda: moving("GIF"), (32, 24), UPRIGHT),
    "animated WebP": (lambda: moving("WEBP"), (32, 24), UPRIGHT),
    "BMP": (lambda: saved(photo(), "BMP"), (32, 24), UPRIGHT),
    "TIFF, CMYK": (lambda: saved(photo("CMYK"), "TIFF"), (32, 24), UPRIGHT),
    "TIFF of 16 bits": (lambda: deep("TIFF"), (32, 24), DEEP),
    "TIFF of floats": (numbers, (32, 24), {(0, 0): (0, 0, 0), (23, 31): (255, 255, 255)}),
    "1 x 1": (lambda: saved(photo(width=1, height=1), "PNG"), (1, 1), {(0, 0): BLUE}),
    "5,000 x 1": (lambda: saved(photo(width=5000, height=1), "PNG"), (5000, 1), {(0, 4999): BLUE}),
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is no picture"),
    "text called .jpg": (lambda: b"hello\n", "is no picture"),
    "web page called .jpg": (lambda: b"<!doctype html><title>404</title>", "is no picture"),
    "zeros": (lambda: bytes(5000), "is no picture"),
    "JPEG cut in the middle": (lambda: saved(photo(width=300, height=300), "JPEG")[:-300], "is damaged"),
    "JPEG of which the head is left": (lambda: saved(photo(), "JPEG")[:30], "is (damaged|no picture)"),
    "PNG cut in the middle": (lambda: saved(photo(width=300, height=300), "PNG")[:-60], "is damaged"),
    "PNG without rows": (lambda: png_of(300, 300), "is damaged"),
    "PNG with a wrong sum": (lambda: saved(photo(), "PNG").replace(b"IDAT", b"IDAX"), "is (damaged|no picture)"),
    "GIF cut in the middle": (lambda: saved(photo(width=300, height=300), "GIF")[:60], "is damaged"),
    "WebP cut in the middle": (lambda: saved(photo(width=300, height=300), "WEBP")[:60], "is (damaged|no picture)"),
    "20,000 x 20,000": (lambda: saved(Image.new("1", (20_000, 20_000)), "PNG"), "has too many pixels"),
    "1 x 1,000,001": (lambda: saved(Image.new("1", (1, 1_000_001)), "PNG"), "has too many pixels"),
    "60,000 x 60,000 in 80 bytes": (lambda: png_of(60_000, 60_000), "has too many pixels"),
    "200 MB of comment in some kilobytes": (text_bomb, "is damaged"),
    "JPEG of 100,000 scans": (lambda: jpeg_of_scans(100_000, (2_000, 2_000)), "has more than 100 scans"),
}


@pytest.mark.parametrize("case", SEEN)
def test_seen(case: str, tmp_path: Path) -> None:
    import tensorflow as tf

    make, (width, height), pixels = SEEN[case]
    path = tmp_path / "a.jpg"  # what it is called says nothing
    path.write_bytes(make())
    content = picture_bytes(path)
    image = Image.open(io.BytesIO(content))
    assert (image.mode, image.size, image.getexif().get(0x0112, 1) in (1, 77)) == ("RGB", (width, height), True)
    pixels_HxWx3 = tf.io.decode_image(content, 3, expand_animations=False).numpy().astype(int)
    assert pixels_HxWx3.shape == (height, width, 3)
    for place, colour in pixels.items():
        assert abs(pixels_HxWx3[place] - colour).max() < 20


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    make, says = REFUSED[case]
    path = tmp_path / "a.jpg"
    path.write_bytes(make())
    with pytest.raises(UserError, match=f"a.jpg {says}.*: ") as caught:
        picture_bytes(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["missing", "a folder", "a link to nothing", "a link to itself"])
def test_no_file(case: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    match case:
        case "a folder":
            path.mkdir()
        case "a link to nothing":
            path.symlink_to(tmp_path / "nothing.jpg")
        case "a link to itself":
            path.symlink_to(path)
    with pytest.raises(UserError, match=r"a.jpg cannot be read \(.+\): check the path"):
        picture_bytes(path)
