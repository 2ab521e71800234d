"""The file that features are streamed into, which says how much of it is finished."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from captioner.disk import reserve

# Making sure of what is written may take this share of the time.
SHARE = 0.02


class FeaturesFile:
    """A float16 array [pictures, positions, channels] on disk, filled from the front.

    Beside ``path`` a ``.done`` file says how many rows are safely on the disk; an array without it is made anew.

    Attributes:
        done: rows that are finished.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._note = path.with_suffix(".done")
        self.done = json.loads(self._note.read_text()) if self._note.exists() and path.exists() else 0
        self._features_NxPxC = np.lib.format.open_memmap(
            path, mode="r+" if self.done else "w+", dtype=np.float16, shape=shape
        )
        if not self.done:
            reserve(path, path.stat().st_size)
        self._written = self.done
        self._next = 0.0

    def append(self, features_BxPxC: np.ndarray) -> None:
        """Adds rows; now and then makes sure that they are on the disk."""
        self._features_NxPxC[self._written : self._written + len(features_BxPxC)] = features_BxPxC
        self._written += len(features_BxPxC)
        if time.monotonic() >= self._next:
            self.close()

    def close(self) -> None:
        """Makes sure that all rows so far are on the disk, and says so."""
        began = time.monotonic()
        self._features_NxPxC.flush()
        partial = self._note.with_suffix(".partial")
        partial.write_text(json.dumps(self._written))
        partial.replace(self._note)
        self.done = self._written
        now = time.monotonic()
        self._next = now + (now - began) / SHARE
