"""Files where plain reading or writing is not enough."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.config import UserError

if TYPE_CHECKING:
    import keras

_ITEM = 4  # bytes of a float32
_HEAD = 4096  # bytes at most that HDF5 needs beside the values of a variable
# What says that there is no such call on this file system.
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOSYS)


def read_json(path: Path) -> Any:
    """What a user's JSON file, in any encoding of Unicode, holds.

    Raises:
        UserError: it cannot be read, or is no JSON, or holds half a character (a lone surrogate), which is no text.
    """
    try:
        tree = json.loads(path.read_bytes())
        json.dumps(tree, ensure_ascii=False).encode()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): repair it") from None
    return tree


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
    except Exception as error:  # the readers of JSON, numpy and parquet raise anything
        if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} is damaged ({reason}): `dvc repro` makes it again") from None


def fresh_folder(path: Path) -> None:
    """Makes an empty folder, whatever was there."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)


def reserve(path: Path, size: int) -> None:
    """Makes a file of so many bytes that are really there, where the file system can do so.

    A full disk under a memory map would kill the process.

    Raises:
        OSError: the disk has not so much; the file is removed.
    """
    path.touch()
    with path.open("r+b") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in _CANNOT:
                return
            path.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from None


def save_weights(network: keras.Model, path: Path) -> None:
    """Writes a network's weights as ``.weights.h5``, after a look whether there is room: on a full disk HDF5 crashes.

    Raises:
        OSError: the disk is full; there is no file then.
    """
    variables = network.variables
    reserve(path, sum(_ITEM * math.prod(variable.shape) + _HEAD for variable in variables) + _HEAD)
    network.save_weights(path)
