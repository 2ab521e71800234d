"""What a client may send as a picture."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from drawn import in_base64, jpeg_of_scans, picture, png_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.config import UserError
from captioner.service.pictures import FOLDER, MAX_BYTES, read_picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_bytes_base64_and_data_uris_are_the_same_picture(kind: str) -> None:
    content = picture(kind)
    read = read_picture(content)
    assert read_picture(in_base64(content)) == read
    assert read_picture(f"data:image/{kind.lower()};base64,{in_base64(content)}") == read
    pixels_HxWx3 = np.asarray(Image.open(io.BytesIO(read)))
    assert pixels_HxWx3.shape == (5, 9, 3)
    assert (pixels_HxWx3[..., 0] > 200).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty"),
        ("%%%", "no base64"),
        ("data:image/png", "empty"),
        ("A" * (MAX_BYTES * 4 // 3 + 8), "bytes: send a smaller one"),
        (b"\0" * (MAX_BYTES + 1), "bytes: send a smaller one"),
        (in_base64(b"some text"), "no picture"),
        (in_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "no picture"),
        (picture("JPEG")[:300], "damaged"),
        (png_of(40, 40), "damaged"),
        (png_of(20_000, 20_000), "pixels: send a smaller one"),
        (png_of(8_000, 8_000), "pixels: send a smaller one"),
        (jpeg_of_scans(101), "more than 100 scans"),
        (picture("BMP"), "no picture"),
        (picture("TIFF"), "no picture"),
        (5, "not int"),
        (None, "not NoneType"),
    ],
)
def test_what_is_refused(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_picture(value)


def test_a_progressive_jpeg_is_read() -> None:
    assert read_picture(jpeg_of_scans(100))


def test_paths_are_read_only_in_the_folder_that_the_service_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open/a.png").write_bytes(picture("PNG"))
    (tmp_path / "secret.png").write_bytes(picture("PNG"))
    (tmp_path / "open/link.png").symlink_to(tmp_path / "secret.png")
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(UserError, match="paths are not read"):
        read_picture("a.png")
    monkeypatch.setenv(FOLDER, str(tmp_path / "open"))
    assert read_picture("a.png") == read_picture(picture("PNG"))
    assert read_picture(str(tmp_path / "open/a.png")) == read_picture("a.png")
    for name in (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "none.png",
        ".",
        "a\0.png",
        "x" * 9999 + ".",
    ):
        with pytest.raises(UserError, match="there is no such file in the folder"):
            read_picture(name)


@given(st.one_of(st.binary(), st.text(), st.integers(0, 300).map(lambda cut: picture("PNG")[:cut])))
def test_anything_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(UserError):
        assert read_picture(value)[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
