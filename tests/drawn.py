"""Pictures made for these tests."""

import base64
import io
import struct
import zlib
from typing import Any

from PIL import Image


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (9, 5), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else None).save(file, kind, **options)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says so, with pixels for some rows only."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return content


def jpeg_of_scans(number: int, size: tuple[int, int] = (9, 5)) -> bytes:
    """A progressive JPEG whose last scan comes again and again, behind a comment that looks like the end."""
    content = picture("JPEG", size=size, progressive=True).removesuffix(b"\xff\xd9")
    more = number - content.count(b"\xff\xda")
    return content + b"\xff\xfe\0\4\xff\xd9" + content[content.rindex(b"\xff\xda") :] * more + b"\xff\xd9"


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
