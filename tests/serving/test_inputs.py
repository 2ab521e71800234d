"""What a client may send as an image."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from helpers.images import encode_base64, encode_image, make_progressive_jpeg, make_truncated_png
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.common.errors import UserError
from captioner.serving.inputs import IMAGE_FOLDER_VARIABLE, MAX_BYTES, read_input_image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_bytes_base64_and_data_uris_give_the_same_image(kind: str) -> None:
    content = encode_image(kind)
    read = read_input_image(content)
    assert read_input_image(encode_base64(content)) == read
    assert read_input_image(f"data:image/{kind.lower()};base64,{encode_base64(content)}") == read
    pixels_HxWx3 = np.asarray(Image.open(io.BytesIO(read)))
    assert pixels_HxWx3.shape == (5, 9, 3)
    assert (pixels_HxWx3[..., 0] > 200).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty"),
        ("%%%", "not base64"),
        ("data:image/png", "empty"),
        ("A" * (MAX_BYTES * 4 // 3 + 8), "bytes: send a smaller one"),
        (b"\0" * (MAX_BYTES + 1), "bytes: send a smaller one"),
        (encode_base64(b"some text"), "not an image"),
        (encode_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not an image"),
        (encode_image("JPEG")[:300], "damaged"),
        (make_truncated_png(40, 40), "damaged"),
        (make_truncated_png(20_000, 20_000), "pixels: send a smaller one"),
        (make_truncated_png(8_000, 8_000), "pixels: send a smaller one"),
        (make_progressive_jpeg(101), "more than 100 scans"),
        (encode_image("BMP"), "not an image"),
        (encode_image("TIFF"), "not an image"),
        (5, "not int"),
        (None, "not NoneType"),
    ],
)
def test_invalid_inputs_are_refused(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_input_image(value)


def test_progressive_jpeg_is_read() -> None:
    assert read_input_image(make_progressive_jpeg(100))


def test_only_paths_in_the_folder_of_the_variable_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/a.png").write_bytes(encode_image("PNG"))
    (tmp_path / "secret.png").write_bytes(encode_image("PNG"))
    (tmp_path / "allowed/link.png").symlink_to(tmp_path / "secret.png")
    monkeypatch.delenv(IMAGE_FOLDER_VARIABLE, raising=False)
    with pytest.raises(UserError, match="paths are not read"):
        read_input_image("a.png")
    monkeypatch.setenv(IMAGE_FOLDER_VARIABLE, str(tmp_path / "allowed"))
    assert read_input_image("a.png") == read_input_image(encode_image("PNG"))
    assert read_input_image(str(tmp_path / "allowed/a.png")) == read_input_image("a.png")
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
            read_input_image(name)


@given(st.one_of(st.binary(), st.text(), st.integers(0, 300).map(lambda cut: encode_image("PNG")[:cut])))
def test_any_value_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(UserError):
        assert read_input_image(value)[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
