"""Where a training stands, on disk: what it takes to go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

# Writing may take this share of the time that passes between two checkpoints.
SHARE = 0.02


class Checkpoints:
    """One checkpoint in ``folder``, replaced as a whole: a crash leaves the old one or the new one.

    A checkpoint is arrays in an order that the caller knows, and a tree of JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "checkpoint.npz"
        self._next = 0.0

    def due(self) -> bool:
        """Whether so much time has passed that writing takes no more than its share."""
        return time.monotonic() >= self._next

    def write(self, arrays: list[np.ndarray], state: dict[str, Any]) -> None:
        """Writes a checkpoint; when it returns, it is on the disk."""
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        named = {f"array_{number}": array for number, array in enumerate(arrays)}
        named["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        try:
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **named)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # a full disk: make room for those who need it too
            partial.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror or str(error), str(partial)) from None
        partial.replace(self._path)
        now = time.monotonic()
        self._next = now + (now - began) / SHARE

    def read(self) -> tuple[list[np.ndarray], dict[str, Any]] | None:
        """The last whole checkpoint; None where there is none. A damaged one is reported and not used."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = [file[f"array_{number}"] for number in range(len(file.files) - 1)]
                return arrays, json.loads(file["state"].tobytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            print(f"{self._path} is damaged ({error}) and not used: training starts anew", file=sys.stderr)
            return None

    def remove(self) -> None:
        """Removes it and its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
