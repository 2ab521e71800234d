"""Checkpoints: the state of a training on disk, complete enough to resume with the same results."""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from captioner.common.errors import first_line

# Saving takes at most this fraction of the training time.
MAX_TIME_FRACTION = 0.02


class CheckpointManager:
    """The only checkpoint in ``folder``. It is replaced atomically: after a crash, the old or the new one is there.

    A checkpoint is a list of arrays and a JSON object; the caller defines the order of the arrays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "checkpoint.npz"
        self._next_time = 0.0

    def is_due(self) -> bool:
        """Return whether enough time has passed that saving does not exceed its fraction of the time."""
        return time.monotonic() >= self._next_time

    def save(self, arrays: list[np.ndarray], state: dict[str, Any]) -> None:
        """Write a checkpoint and wait until it is on the disk.

        Raises:
            OSError: the disk is full; the previous checkpoint is unchanged.
        """
        start = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        named = {f"array_{number}": array for number, array in enumerate(arrays)}
        named["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        try:
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **named)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # if the disk is full, other programs need the space too
            partial.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror or str(error), str(partial)) from None
        partial.replace(self._path)
        end = time.monotonic()
        self._next_time = end + (end - start) / MAX_TIME_FRACTION

    def restore(self) -> tuple[list[np.ndarray], dict[str, Any]] | None:
        """Return arrays and state of the checkpoint, or None if there is none. Report and ignore a damaged one."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = [file[f"array_{number}"] for number in range(len(file.files) - 1)]
                return arrays, json.loads(file["state"].tobytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            reason = first_line(error)
            print(f"{self._path} is damaged ({reason}) and not used: training starts at epoch 1", file=sys.stderr)
            return None
