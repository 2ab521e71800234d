"""Checks of the images that clients send, before anything large is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from captioner.common.errors import UserError
from captioner.data.images import to_upright_rgb

MAX_IMAGES = 64  # per request
MAX_BYTES = 20 * 2**20  # per image file
MAX_PIXELS = 50_000_000  # per image
# The formats that browsers show. In other formats a small file can occupy Pillow for long, or need gigabytes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# The environment variable with the folder whose files may be read. Without it, clients could read the server's disk.
IMAGE_FOLDER_VARIABLE = "CAPTIONER_PICTURES"

_TOO_LARGE = f"the image has more than {MAX_BYTES} bytes: send a smaller one"


def read_input_image(value: Any) -> bytes:
    """Return an upright RGB image as JPEG or PNG bytes.

    Args:
        value: the bytes of an image file, or a string. A string that begins with ``data:`` is a data URI. Any other
            string with a dot is a path in the folder that ``CAPTIONER_PICTURES`` names. Any other string is base64,
            whose alphabet has no dot.

    Raises:
        UserError: the value is not an image, exceeds `MAX_BYTES` or `MAX_PIXELS`, or is a path that may not be read.
    """
    if isinstance(value, bytes):
        content = value
    elif not isinstance(value, str):
        raise UserError(f"expected an image as bytes, base64 or a path, not {type(value).__name__}")
    elif value.startswith("data:"):
        content = _decode_base64(value.partition(",")[2])
    elif "." in value:
        content = _read_file(value)
    else:
        content = _decode_base64(value)
    if len(content) > MAX_BYTES:
        raise UserError(_TOO_LARGE)
    _check_header(content)
    return to_upright_rgb(content, "it", FORMATS)


def _decode_base64(text: str) -> bytes:
    if len(text) > MAX_BYTES * 4 // 3 + 4:  # four letters are three bytes
        raise UserError(_TOO_LARGE)
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError("it is not base64: send the bytes of an image file in base64") from None
    if not content:
        raise UserError("it is empty: send the bytes of an image file in base64")
    return content


def _read_file(name: str) -> bytes:
    allowed = os.environ.get(IMAGE_FOLDER_VARIABLE)
    if not allowed:
        raise UserError(f"paths are not read: send base64, or start the service with {IMAGE_FOLDER_VARIABLE}=FOLDER")
    no_such_file = UserError(f"there is no such file in the folder of {IMAGE_FOLDER_VARIABLE}")
    folder = Path(allowed).resolve()
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise no_such_file
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError):  # also for a name that is too long or contains a null character
        raise no_such_file from None


def _check_header(content: bytes) -> None:
    """Check format and size from the header alone, without decoding pixels."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise UserError(f"it is not an image: send one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        width, height = MAX_PIXELS, 2
    except Exception as error:  # Pillow's readers raise many types on damaged files
        raise UserError(f"it is damaged ({error})") from None
    if width * height > MAX_PIXELS:
        raise UserError(f"it has more than {MAX_PIXELS} pixels: send a smaller one")
