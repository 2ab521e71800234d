"""Image files in any format and orientation, converted to upright RGB that tensorflow decodes."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from captioner.common.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg")
ORIENTATION = 0x0112  # an EXIF tag; its value 1 means upright
MAX_SCANS = 100  # of a progressive JPEG; programs write about ten, and decoding visits all pixels once per scan
# The end marker of a JPEG, or a marker that precedes the length of its segment. Compressed pixels contain no such
# marker, because a zero byte follows each 0xFF there.
JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
START_OF_IMAGE, START_OF_SCAN, END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
MAX_SIDE = 1_000_000  # pixels, of a PNG that libpng reads


def read_image(path: Path, name: str | None = None) -> bytes:
    """Return an image file as upright RGB: the bytes of a JPEG or PNG.

    An upright RGB JPEG is returned unchanged. Everything else that Pillow reads (rotated by EXIF, grey, CMYK, with a
    palette, transparent, 16 bit, PNG, WebP ...) becomes a PNG. Of several frames, the first is taken. Errors call the
    image ``name``, or its path.

    Raises:
        UserError: the file is missing, is not an image, or is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name or path} cannot be read ({error.strerror}): check the path") from None
    return to_upright_rgb(content, name or str(path))


def to_upright_rgb(content: bytes, name: str, formats: tuple[str, ...] | None = None) -> bytes:
    """Return the content of an image file as upright RGB, like `read_image`.

    ``formats`` are Pillow's names of the allowed formats; all formats that Pillow itself decodes unless given.

    Raises:
        UserError: the content is not an image, is damaged, or is too expensive to decode.
    """
    if _count_scans(content) > MAX_SCANS:
        raise UserError(f"{name} has more than {MAX_SCANS} scans: save it again")
    try:
        with Image.open(io.BytesIO(content), formats=formats or _safe_formats()) as image:
            if max(image.size) > MAX_SIDE:
                raise Image.DecompressionBombError
            image.load()
            if image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ORIENTATION, 1) == 1:
                return content
            return encode_png(_convert_to_upright_rgb(image))
    except UnidentifiedImageError:
        raise UserError(f"{name} is not an image in a supported format: give a JPEG, PNG, WebP ...") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} has too many pixels: make it smaller") from None
    except Exception as error:  # Pillow's readers raise many types on damaged files
        raise UserError(f"{name} is damaged ({error}): replace it") from None


def encode_png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file. Equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG")  # a copy of the pixels has no profile, texts or dates
    return buffer.getvalue()


def image_path(folder: Path, split: str, image_id: int) -> Path | None:
    """Return the path of an image that ``prepare`` stored for figures, or None if it stored none."""
    paths = (folder / split / f"{image_id}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _count_scans(content: bytes) -> int:
    """Return the number of scans before a JPEG's end marker (phones append videos after it); 0 for other files."""
    scans, position = 0, len(START_OF_IMAGE)
    if content.startswith(START_OF_IMAGE):
        while (marker := JPEG_MARKER.search(content, position)) and marker[0] != END_OF_IMAGE:
            scans += marker[0] == START_OF_SCAN
            position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
    return scans


@cache
def _safe_formats() -> list[str]:
    """Return the formats that Pillow decodes itself. For EPS it would start Ghostscript on the file."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def _convert_to_upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return _convert_to_eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _convert_to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey values to 8 bits: 16-bit integers by their range, floats by their minimum and maximum."""
    grey_HxW = np.asarray(image).astype(np.float64)
    low, high = (0.0, 65535.0) if image.mode[0] == "I" else (float(grey_HxW.min()), float(grey_HxW.max()))
    return Image.fromarray(((grey_HxW - low) / max(high - low, 1e-9) * 255).round().clip(0, 255).astype(np.uint8))
