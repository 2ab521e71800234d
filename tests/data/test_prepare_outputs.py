"""The files of ``prepare`` that the other packages read: captions, features and images for figures."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.common.errors import UserError
from captioner.data.captions_table import CaptionsTable, read_captions_table, write_captions_table
from captioner.data.features import read_features
from captioner.data.images import image_path

TABLE = CaptionsTable([7, 2**40], ["a.jpg", "ü/b.png"], [["A dog.", " two  spaces\n"], ["只"]])


def test_captions_are_read_as_written(tmp_path: Path) -> None:
    write_captions_table(tmp_path / "new", "val", TABLE)
    assert read_captions_table(tmp_path / "new", "val") == TABLE
    assert len(TABLE) == 2


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_captions_table(tmp_path, split, TABLE)
    assert (tmp_path / "train.parquet").read_bytes() == (tmp_path / "val.parquet").read_bytes()


def test_features_are_mapped_into_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "val.npy", np.ones((3, 4, 5), np.float16))
    assert isinstance(read_features(tmp_path, "val"), np.memmap)


@pytest.mark.parametrize("read", [read_captions_table, read_features])
def test_error_names_the_missing_split(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"test.*no test split"):
        read(tmp_path, "test")


@pytest.mark.parametrize(("read", "name"), [(read_captions_table, "val.parquet"), (read_features, "val.npy")])
@given(share=st.floats(0, 1), byte=st.none() | st.integers(0, 255))
def test_error_names_the_damaged_file(read, name: str, share: float, byte: int | None) -> None:  # type: ignore[no-untyped-def]
    """The file is truncated, which is always an error, or has one other byte, which is not."""
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        write_captions_table(folder, "val", TABLE)
        np.save(folder / "val.npy", np.ones((3, 4, 5), np.float16))
        content = (folder / name).read_bytes()
        position = min(int(share * len(content)), len(content) - 1)
        rest = b"" if byte is None else bytes([byte]) + content[position + 1 :]
        (folder / name).write_bytes(content[:position] + rest)
        try:
            read(folder, "val")
        except UserError as error:
            assert f"{name} is damaged (" in str(error)
            assert "`dvc repro`" in str(error)
        else:
            assert byte is not None


def test_only_stored_images_have_a_path(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "12.jpg").touch()
    assert image_path(tmp_path, "val", 12) == tmp_path / "val" / "12.jpg"
    assert image_path(tmp_path, "val", 1) is None


def test_readers_do_not_import_tensorflow() -> None:
    """The stages after tokenize-adapt also run where tensorflow is not installed."""
    modules = (
        *("captions_table", "features", "images", "samples_figure", "datasets.karpathy"),
        *("datasets.shapes.scene", "datasets.shapes.render", "datasets.shapes.templates"),
    )
    imports = "; ".join(f"import captioner.data.{module}" for module in modules)
    code = f"import sys; {imports}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
