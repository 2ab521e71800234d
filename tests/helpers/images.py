"""Image files made for tests."""

import base64
import io
import struct
import zlib
from typing import Any

from PIL import Image


def encode_image(kind: str, mode: str = "RGB", size: tuple[int, int] = (9, 5), **options: Any) -> bytes:
    """Return an image file of one colour in a format that Pillow writes."""
    file = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else None).save(file, kind, **options)
    return file.getvalue()


def make_truncated_png(width: int, height: int) -> bytes:
    """Return a PNG whose header gives this size and whose data holds only some of the rows."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return content


def make_progressive_jpeg(scans: int, size: tuple[int, int] = (9, 5)) -> bytes:
    """Return a JPEG whose last scan is repeated; the scans follow a comment that contains an end marker."""
    content = encode_image("JPEG", size=size, progressive=True).removesuffix(b"\xff\xd9")
    missing = scans - content.count(b"\xff\xda")
    return content + b"\xff\xfe\0\4\xff\xd9" + content[content.rindex(b"\xff\xda") :] * missing + b"\xff\xd9"


def encode_base64(content: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(content).decode()
