"""Pictures as people have them, turned into bytes that tensorflow decodes as people see them. Needs no tensorflow."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from captioner.config import UserError

ORIENTATION = 0x0112  # of the EXIF tags; 1 is upright
MAX_SCANS = 100  # of a progressive JPEG; programs write about ten, and each is a pass over all pixels
# A JPEG's end, or a marker before the length of what it begins. Pixels hold none: a zero follows each 0xFF there.
SEGMENT = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
LONGEST_SIDE = 1_000_000  # pixels, of a PNG that libpng reads


def picture_bytes(path: Path, name: str | None = None) -> bytes:
    """An upright RGB picture as JPEG or PNG bytes.

    A JPEG that is that already stays as it is. Whatever else Pillow reads (turned by EXIF, grey, CMYK, with a palette,
    transparent, 16 bit, PNG, WebP ...) becomes a PNG. Of several frames it is the first. Errors call it ``name``.

    Raises:
        UserError: there is no such file, or it is no picture, or it is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name or path} cannot be read ({error.strerror}): check the path") from None
    return upright_bytes(content, name or str(path))


def upright_bytes(content: bytes, name: str, formats: tuple[str, ...] | None = None) -> bytes:
    """`picture_bytes` of a file's content, if need be in one of these ``formats``; errors call it ``name``."""
    if _scans(content) > MAX_SCANS:
        raise UserError(f"{name} has more than {MAX_SCANS} scans: save it again")
    try:
        with Image.open(io.BytesIO(content), formats=formats or _formats()) as image:
            if max(image.size) > LONGEST_SIDE:
                raise UserError(f"{name} has too many pixels: make it smaller")
            image.load()
            if image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ORIENTATION, 1) == 1:
                return content
            return png_bytes(_upright_rgb(image))
    except UnidentifiedImageError:
        raise UserError(f"{name} is no picture of a format that is read: give a JPEG, PNG, WebP ...") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name} has too many pixels: make it smaller") from None
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise anything on damaged files
        raise UserError(f"{name} is damaged ({error}): replace it") from None


def _scans(content: bytes) -> int:
    """How many scans a JPEG has up to its end, behind which phones put a film; 0 of other files."""
    scans, place = 0, 2
    if content.startswith(b"\xff\xd8"):
        while (marker := SEGMENT.search(content, place)) and marker[0] != b"\xff\xd9":
            scans += marker[0] == b"\xff\xda"
            place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
    return scans


@cache
def _formats() -> list[str]:
    """All that Pillow reads by itself: for EPS it would start another program on the file."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a PNG file. Equal pixels give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG")  # from the pixels alone: no profile, no text, no dates
    return buffer.getvalue()


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of numbers in a range of their own, as grey of 8 bits."""
    grey_HxW = np.asarray(image).astype(np.float64)
    low, high = (0.0, 65535.0) if image.mode[0] == "I" else (float(grey_HxW.min()), float(grey_HxW.max()))
    return Image.fromarray(((grey_HxW - low) / max(high - low, 1e-9) * 255).round().clip(0, 255).astype(np.uint8))
