"""The reference captions that ``prepare`` writes: one parquet table per split, and the name of the dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.common.reading import reading_stage_output

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "val", "test")
_NAME_FILE = "dataset.json"


@dataclass(frozen=True)
class CaptionsTable:
    """The reference captions of a split: three lists with one entry per image, in the order of the features."""

    image_ids: list[int]
    file_names: list[str]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.image_ids)


def write_captions_table(folder: Path, split: str, table: CaptionsTable) -> None:
    """Write ``folder/{split}.parquet``. Equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"image_id": table.image_ids, "file_name": table.file_names, "captions": table.captions}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=_schema()), folder / f"{split}.parquet")


def read_captions_table(folder: Path, split: str) -> CaptionsTable:
    """Return the table in ``folder/{split}.parquet``.

    Raises:
        UserError: the table is missing or damaged.
    """
    import pyarrow.parquet as pq

    path = folder / f"{split}.parquet"
    with reading_stage_output(path, split):
        columns = pq.read_table(path, schema=_schema()).to_pydict()
    return CaptionsTable(columns["image_id"], columns["file_name"], columns["captions"])


def write_dataset_name(folder: Path, name: str) -> None:
    """Write ``folder/dataset.json``."""
    (folder / _NAME_FILE).write_text(json.dumps({"name": name}, ensure_ascii=False) + "\n", encoding="utf-8")


def read_dataset_name(folder: Path) -> str:
    """Return the name in ``folder/dataset.json``.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / _NAME_FILE
    with reading_stage_output(path):
        return str(json.loads(path.read_text(encoding="utf-8"))["name"])


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("image_id", pa.int64()), ("file_name", pa.string()), ("captions", pa.list_(pa.string()))])
