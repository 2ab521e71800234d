"""What the other rooms read."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.config import UserError
from captioner.data.tables import CaptionTable, picture_path, read_captions, read_features, write_captions

TABLE = CaptionTable([7, 2**40], ["a.jpg", "ü/b.png"], [["A dog.", " two  spaces\n"], ["只"]])


def test_captions_come_back_as_they_were(tmp_path: Path) -> None:
    write_captions(tmp_path / "new", "val", TABLE)
    assert read_captions(tmp_path / "new", "val") == TABLE
    assert len(TABLE) == 2


def test_equal_captions_give_equal_bytes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_captions(tmp_path, split, TABLE)
    assert (tmp_path / "train.parquet").read_bytes() == (tmp_path / "val.parquet").read_bytes()


def test_features_are_mapped_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "val.npy", np.ones((3, 4, 5), np.float16))
    assert isinstance(read_features(tmp_path, "val"), np.memmap)


@pytest.mark.parametrize("read", [read_captions, read_features])
def test_a_split_that_is_not_there_is_named(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"test.*no test split"):
        read(tmp_path, "test")


@pytest.mark.parametrize(("read", "name"), [(read_captions, "val.parquet"), (read_features, "val.npy")])
@given(share=st.floats(0, 1), byte=st.none() | st.integers(0, 255))
def test_a_table_that_is_damaged_is_named(read, name: str, share: float, byte: int | None) -> None:  # type: ignore[no-untyped-def]
    """Cut off, or with another byte somewhere, which is not always to be noticed."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_captions(folder, "val", TABLE)
        np.save(folder / "val.npy", np.ones((3, 4, 5), np.float16))
        whole = (folder / name).read_bytes()
        at = min(int(share * len(whole)), len(whole) - 1)
        spoilt = whole[:at] if byte is None else whole[:at] + bytes([byte]) + whole[at + 1 :]
        (folder / name).write_bytes(spoilt)
        try:
            read(folder, "val")
        except UserError as error:
            assert f"{name} is damaged (" in str(error)
            assert "`dvc repro`" in str(error)
        else:
            assert byte is not None


def test_only_kept_pictures_have_a_path(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "12.jpg").touch()
    assert picture_path(tmp_path, "val", 12) == tmp_path / "val" / "12.jpg"
    assert picture_path(tmp_path, "val", 1) is None


def test_nothing_here_imports_tensorflow() -> None:
    """The rooms after tokenize-adapt run where there is none."""
    modules = "tables", "scenes", "painting", "grammar", "pictures", "karpathy", "samples"
    code = (
        f"import sys; {'; '.join(f'import captioner.data.{m}' for m in modules)}; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
