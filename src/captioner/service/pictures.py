"""Pictures as clients send them: checked before anything large is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from captioner.config import UserError
from captioner.data.pictures import upright_bytes

MAX_PICTURES = 64
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
# What browsers show. Pillow's readers of others can be made to work for long, or on gigabytes, by a small file.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Names the folder of which paths may be read: a service would otherwise tell anyone what lies on its disk.
FOLDER = "CAPTIONER_PICTURES"


def read_picture(value: Any) -> bytes:
    """An upright RGB picture as JPEG or PNG bytes.

    Args:
        value: a picture file's bytes, or a string: base64 (also as a ``data:`` URI), or, since base64 has no dot, with
            a dot the path of a file in the folder that ``CAPTIONER_PICTURES`` names.

    Raises:
        UserError: it is no picture, or larger than `MAX_BYTES` or `MAX_PIXELS`, or a path that may not be read.
    """
    if isinstance(value, bytes):
        content = value
    elif not isinstance(value, str):
        raise UserError(f"expected a picture as bytes, base64 or a path, not {type(value).__name__}")
    elif value.startswith("data:"):
        content = _decode(value.partition(",")[2])
    elif "." in value:
        content = _read(value)
    else:
        content = _decode(value)
    if len(content) > MAX_BYTES:
        raise UserError(f"the picture has more than {MAX_BYTES} bytes: send a smaller one")
    _check_header(content)
    return upright_bytes(content, "it", FORMATS)


def _decode(text: str) -> bytes:
    # Four letters are three bytes.
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise UserError(f"the picture has more than {MAX_BYTES} bytes: send a smaller one")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError("it is no base64: send a picture file's bytes in base64") from None
    if not content:
        raise UserError("it is empty: send a picture file's bytes in base64")
    return content


def _read(name: str) -> bytes:
    allowed = os.environ.get(FOLDER)
    if not allowed:
        raise UserError(f"paths are not read: send base64, or have the service started with {FOLDER}=FOLDER")
    folder = Path(allowed).resolve()
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise UserError(f"there is no such file in the folder of {FOLDER}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError):  # a name too long, or with a zero in it
        raise UserError(f"there is no such file in the folder of {FOLDER}") from None


def _check_header(content: bytes) -> None:
    """Refuses what is not in one of the formats, and what would be too large, by the first bytes alone."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise UserError(f"it is no picture: send one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        width, height = MAX_PIXELS, 2
    except Exception as error:  # Pillow's readers raise anything on damaged files
        raise UserError(f"it is damaged ({error})") from None
    if width * height > MAX_PIXELS:
        raise UserError(f"it has more than {MAX_PIXELS} pixels: send a smaller one")
