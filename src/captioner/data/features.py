"""The features that ``prepare`` writes: one array per split, and the CNN that computed them.

An unfinished array can be continued after a crash.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from captioner.common.reading import reading_stage_output
from captioner.common.writing import reserve_space, write_text_atomically

_EXTRACTOR_FILE = "extractor.json"
FLUSH_TIME_SHARE = 0.02  # largest share of the time that `FeaturesWriter.append` spends on flushing


def read_features(folder: Path, split: str) -> np.ndarray:
    """Map ``folder/{split}.npy`` into memory: float16 [images, positions, channels].

    Raises:
        UserError: the array is missing or damaged.
    """
    path = folder / f"{split}.npy"
    with reading_stage_output(path, split):
        return np.load(path, mmap_mode="r")


def write_extractor_identity(folder: Path, identity: dict[str, str]) -> None:
    """Write ``folder/extractor.json``: ``name`` and ``weights_hash`` of the CNN."""
    (folder / _EXTRACTOR_FILE).write_text(json.dumps(identity, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_extractor_identity(folder: Path) -> dict[str, str]:
    """Return ``name`` and ``weights_hash`` of the CNN that computed the features.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / _EXTRACTOR_FILE
    with reading_stage_output(path):
        identity = json.loads(path.read_text(encoding="utf-8"))
        return {key: str(identity[key]) for key in ("name", "weights_hash")}


class FeaturesWriter:
    """A float16 array [images, positions, channels] on disk that is filled in order.

    A complete array is only read, because DVC's cache can hold the same file. A second file, ``path`` with the suffix
    ``.done``, holds ``rows_done``, the number of rows that are safely on disk. Without it, the array is started again.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._done_path = path.with_suffix(".done")
        self.rows_done = json.loads(self._done_path.read_text()) if self._done_path.exists() and path.exists() else 0
        if not self.rows_done:
            path.unlink(missing_ok=True)
        mode = "r" if self.rows_done == shape[0] else "r+" if self.rows_done else "w+"
        self._features_NxPxC = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)
        if not self.rows_done:
            reserve_space(path, path.stat().st_size)
        self._rows_written = self.rows_done
        self._next_flush = 0.0

    def append(self, features_BxPxC: np.ndarray) -> None:
        """Write rows after the last one, and flush them from time to time."""
        end = self._rows_written + len(features_BxPxC)
        self._features_NxPxC[self._rows_written : end] = features_BxPxC
        self._rows_written = end
        if time.monotonic() >= self._next_flush:
            self.flush()

    def flush(self) -> None:
        """Force all rows to disk and record their number, unless both were already done."""
        if self._rows_written == self.rows_done:
            return
        start = time.monotonic()
        self._features_NxPxC.flush()
        write_text_atomically(self._done_path, json.dumps(self._rows_written))
        self.rows_done = self._rows_written
        end = time.monotonic()
        self._next_flush = end + (end - start) / FLUSH_TIME_SHARE
