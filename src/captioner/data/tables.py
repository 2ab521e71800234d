"""What ``prepare`` leaves for the other rooms: captions, features and a few pictures. Needs no tensorflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captioner.config import UserError
from captioner.disk import reading

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "val", "test")
PICTURE_SUFFIXES = (".png", ".jpg")


@dataclass(frozen=True)
class CaptionTable:
    """The captions of a split. All three lists have a row for each picture, in the order of the features."""

    image_ids: list[int]
    file_names: list[str]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.image_ids)


def write_captions(folder: Path, split: str, table: CaptionTable) -> None:
    """Writes ``folder/{split}.parquet``. Equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        pa.array(table.image_ids, pa.int64()),
        pa.array(table.file_names, pa.string()),
        pa.array(table.captions, pa.list_(pa.string())),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(columns, schema=_schema()), folder / f"{split}.parquet")


def read_captions(folder: Path, split: str) -> CaptionTable:
    """Reads ``folder/{split}.parquet``.

    Raises:
        UserError: there is no such table, or it is damaged.
    """
    import pyarrow.parquet as pq

    path = _existing(folder / f"{split}.parquet", split)
    with reading(path):
        columns = pq.read_table(path, schema=_schema()).to_pydict()
    return CaptionTable(columns["image_id"], columns["file_name"], columns["captions"])


def read_features(folder: Path, split: str) -> np.ndarray:
    """Maps ``folder/{split}.npy`` into memory: float16 [pictures, positions, channels].

    Raises:
        UserError: there is no such array, or it is damaged.
    """
    path = _existing(folder / f"{split}.npy", split)
    with reading(path):
        features_NxPxC: np.ndarray = np.load(path, mmap_mode="r")
    return features_NxPxC


def picture_path(folder: Path, split: str, image_id: int) -> Path | None:
    """The picture ``folder/{split}/{image_id}.png`` (or .jpg) as the CNN saw it; None where it was not kept."""
    paths = (folder / split / f"{image_id}{suffix}" for suffix in PICTURE_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("image_id", pa.int64()), ("file_name", pa.string()), ("captions", pa.list_(pa.string()))])


def _existing(path: Path, split: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path} is missing: the dataset has no {split} split, or `dvc repro prepare` has not run")
    return path
