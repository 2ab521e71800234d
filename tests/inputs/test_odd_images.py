"""Unusual image files: each becomes an upright RGB image, or an error of one line that names it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import make_progressive_jpeg, make_truncated_png
from PIL import Image, PngImagePlugin

from captioner.common.errors import UserError
from captioner.data.images import read_image

RED, BLUE = (200, 0, 0), (0, 0, 200)


def make_image(mode: str = "RGB", width: int = 32, height: int = 24) -> Image.Image:
    """Return an image with a red upper half and a blue lower half."""
    pixels_HxWx3 = np.zeros((height, width, 3), np.uint8)
    pixels_HxWx3[: height // 2], pixels_HxWx3[height // 2 :] = RED, BLUE
    return Image.fromarray(pixels_HxWx3).convert(mode)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def encode_rotated_jpeg(orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(make_image(), "JPEG", exif=exif, quality=95)


def encode_animation(format: str) -> bytes:
    """Return a file of two frames; the second is white."""
    second = Image.new("RGB", (32, 24), "white")
    return encode(make_image(), format, save_all=True, append_images=[second], duration=100)


def encode_png_with_text_bomb() -> bytes:
    """Return a PNG of a few kilobytes whose comment unpacks to 200 MB."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * 200_000_000, zip=True)
    return encode(make_image(), "PNG", pnginfo=texts)


def encode_16_bit_grey(format: str) -> bytes:
    """Return a 16-bit grey image with a light upper half and a dark lower half."""
    grey_HxW = np.full((24, 32), 10_000, np.uint16)
    grey_HxW[:12] = 50_000
    return encode(Image.fromarray(grey_HxW), format)


def encode_half_transparent(mode: str) -> bytes:
    """Return a PNG with a transparent lower half."""
    image = make_image(mode)
    alpha_HxW = np.full((24, 32), 255, np.uint8)
    alpha_HxW[12:] = 0
    image.putalpha(Image.fromarray(alpha_HxW))
    return encode(image, "PNG")


def encode_one_bit_png() -> bytes:
    return encode(make_image("L").point(lambda value: 255 * (value > 40)).convert("1"), "PNG")


def encode_float_tiff() -> bytes:
    """Return a TIFF of floats from -1 to 3."""
    return encode(Image.fromarray(np.linspace(-1, 3, 24 * 32, dtype=np.float32).reshape(24, 32)), "TIFF")


Pixels = dict[tuple[int, int], tuple[int, int, int]]  # the colour at (row, column)
UPRIGHT: Pixels = {(4, 5): RED, (20, 5): BLUE}
GREY: Pixels = {(4, 5): (60, 60, 60), (20, 5): (23, 23, 23)}  # 0.299 of red's 200, 0.114 of blue's
HALF_WHITE: Pixels = {(4, 5): RED, (20, 5): (255, 255, 255)}
GREY_16_BIT: Pixels = {(4, 5): (195, 195, 195), (20, 5): (39, 39, 39)}  # 50,000 and 10,000 of 65,535
# By case: the file, the expected size, and expected pixels.
READABLE: dict[str, tuple[Callable[[], bytes], tuple[int, int], Pixels]] = {
    "JPEG": (lambda: encode(make_image(), "JPEG", quality=95), (32, 24), UPRIGHT),
    "progressive JPEG": (lambda: encode(make_image(), "JPEG", progressive=True, quality=95), (32, 24), UPRIGHT),
    "grey JPEG": (lambda: encode(make_image("L"), "JPEG"), (32, 24), GREY),
    "CMYK JPEG": (lambda: encode(make_image("CMYK"), "JPEG", quality=95), (32, 24), UPRIGHT),
    "JPEG with two images (MPO)": (lambda: encode_animation("MPO"), (32, 24), UPRIGHT),
    "JPEG rotated by EXIF, 3": (lambda: encode_rotated_jpeg(3), (32, 24), {(4, 5): BLUE, (20, 5): RED}),
    "JPEG rotated by EXIF, 6": (lambda: encode_rotated_jpeg(6), (24, 32), {(16, 20): RED, (16, 3): BLUE}),
    "JPEG mirrored by EXIF, 5": (lambda: encode_rotated_jpeg(5), (24, 32), {(16, 3): RED, (16, 20): BLUE}),
    "JPEG with an invalid EXIF orientation": (lambda: encode_rotated_jpeg(77), (32, 24), UPRIGHT),
    "JPEG with data after its end": (lambda: encode(make_image(), "JPEG") + b"trailing" * 9, (32, 24), UPRIGHT),
    "JPEG with scan markers after its end": (
        lambda: encode(make_image(), "JPEG") + b"\xff\xda" * 999,
        (32, 24),
        UPRIGHT,
    ),
    "PNG": (lambda: encode(make_image(), "PNG"), (32, 24), UPRIGHT),
    "PNG with a palette": (lambda: encode(make_image("P"), "PNG"), (32, 24), UPRIGHT),
    "PNG of one bit": (encode_one_bit_png, (32, 24), {(4, 5): (255, 255, 255), (20, 5): (0, 0, 0)}),
    "PNG of 16 bits": (lambda: encode_16_bit_grey("PNG"), (32, 24), GREY_16_BIT),
    "PNG, transparent": (lambda: encode_half_transparent("RGBA"), (32, 24), HALF_WHITE),
    "PNG, grey and transparent": (lambda: encode_half_transparent("LA"), (32, 24), HALF_WHITE | {(4, 5): (60, 60, 60)}),
    "animated PNG": (lambda: encode_animation("PNG"), (32, 24), UPRIGHT),
    "animated GIF": (lambda: encode_animation("GIF"), (32, 24), UPRIGHT),
    "animated WebP": (lambda: encode_animation("WEBP"), (32, 24), UPRIGHT),
    "BMP": (lambda: encode(make_image(), "BMP"), (32, 24), UPRIGHT),
    "TIFF, CMYK": (lambda: encode(make_image("CMYK"), "TIFF"), (32, 24), UPRIGHT),
    "TIFF of 16 bits": (lambda: encode_16_bit_grey("TIFF"), (32, 24), GREY_16_BIT),
    "TIFF of floats": (encode_float_tiff, (32, 24), {(0, 0): (0, 0, 0), (23, 31): (255, 255, 255)}),
    "1 x 1": (lambda: encode(make_image(width=1, height=1), "PNG"), (1, 1), {(0, 0): BLUE}),
    "5,000 x 1": (lambda: encode(make_image(width=5000, height=1), "PNG"), (5000, 1), {(0, 4999): BLUE}),
}
# By case: the file, and what the error says.
REJECTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is not an image"),
    "text called .jpg": (lambda: b"hello\n", "is not an image"),
    "web page called .jpg": (lambda: b"<!doctype html><title>404</title>", "is not an image"),
    "zeros": (lambda: bytes(5000), "is not an image"),
    "JPEG cut in the middle": (lambda: encode(make_image(width=300, height=300), "JPEG")[:-300], "is damaged"),
    "JPEG with only its header": (lambda: encode(make_image(), "JPEG")[:30], "is (damaged|not an image)"),
    "PNG cut in the middle": (lambda: encode(make_image(width=300, height=300), "PNG")[:-60], "is damaged"),
    "PNG with missing rows": (lambda: make_truncated_png(300, 300), "is damaged"),
    "PNG with a wrong checksum": (
        lambda: encode(make_image(), "PNG").replace(b"IDAT", b"IDAX"),
        "is (damaged|not an image)",
    ),
    "GIF cut in the middle": (lambda: encode(make_image(width=300, height=300), "GIF")[:60], "is damaged"),
    "WebP cut in the middle": (
        lambda: encode(make_image(width=300, height=300), "WEBP")[:60],
        "is (damaged|not an image)",
    ),
    "20,000 x 20,000": (lambda: encode(Image.new("1", (20_000, 20_000)), "PNG"), "has too many pixels"),
    "1 x 1,000,001": (lambda: encode(Image.new("1", (1, 1_000_001)), "PNG"), "has too many pixels"),
    "60,000 x 60,000 in 80 bytes": (lambda: make_truncated_png(60_000, 60_000), "has too many pixels"),
    "PNG with a comment of 200 MB": (encode_png_with_text_bomb, "is damaged"),
    "JPEG of 100,000 scans": (lambda: make_progressive_jpeg(100_000, (2_000, 2_000)), "has more than 100 scans"),
}


@pytest.mark.parametrize("case", READABLE)
def test_readable_image_becomes_upright_rgb(case: str, tmp_path: Path) -> None:
    import tensorflow as tf

    make, (width, height), pixels = READABLE[case]
    path = tmp_path / "a.jpg"  # the suffix must not matter
    path.write_bytes(make())
    content = read_image(path)
    image = Image.open(io.BytesIO(content))
    assert (image.mode, image.size, image.getexif().get(0x0112, 1) in (1, 77)) == ("RGB", (width, height), True)
    pixels_HxWx3 = tf.io.decode_image(content, 3, expand_animations=False).numpy().astype(int)
    assert pixels_HxWx3.shape == (height, width, 3)
    for position, colour in pixels.items():
        assert abs(pixels_HxWx3[position] - colour).max() < 20


@pytest.mark.parametrize("case", REJECTED)
def test_unreadable_image_is_one_line(case: str, tmp_path: Path) -> None:
    make, message = REJECTED[case]
    path = tmp_path / "a.jpg"
    path.write_bytes(make())
    with pytest.raises(UserError, match=f"a.jpg {message}.*: ") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["missing", "a folder", "a link to nothing", "a link to itself"])
def test_missing_file_is_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    match case:
        case "a folder":
            path.mkdir()
        case "a link to nothing":
            path.symlink_to(tmp_path / "nothing.jpg")
        case "a link to itself":
            path.symlink_to(path)
    with pytest.raises(UserError, match=r"a.jpg cannot be read \(.+\): check the path"):
        read_image(path)
