"""Files where a plain write is not enough."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.config import UserError

if TYPE_CHECKING:
    import keras

_ITEM = 4  # bytes of a float32
_HEAD = 4096  # bytes at most that HDF5 needs beside the values of a variable


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around the reading of what a stage wrote.

    Raises:
        UserError: ``path`` is missing, or somebody has damaged it since.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `dvc repro` makes it") from None
    except (ValueError, EOFError) as error:  # of JSON, numpy and parquet alike
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}): `dvc repro` makes it again") from None


def fresh_folder(path: Path) -> None:
    """Makes an empty folder, whatever was there."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)


def reserve(path: Path, size: int) -> None:
    """Makes a file of so many bytes that are really there: a full disk under a memory map kills the process.

    Raises:
        OSError: the disk has not so much; the file is removed.
    """
    with path.open("ab") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from None


def save_weights(network: keras.Model, path: Path) -> None:
    """Writes a network's weights as ``.weights.h5``. Room is taken first: on a full disk HDF5 crashes.

    Raises:
        OSError: the disk is full; there is no file then.
    """
    variables = network.variables
    reserve(path, sum(_ITEM * math.prod(variable.shape) + _HEAD for variable in variables) + _HEAD)
    network.save_weights(path)
