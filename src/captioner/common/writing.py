"""Writing of files that survive a crash, a full disk, or a second process."""

from __future__ import annotations

import errno
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_FLOAT32_BYTES = 4
_HDF5_OVERHEAD = 4096  # upper bound of the bytes that HDF5 needs per variable beside its values
# The file system does not support the allocation of space.
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOSYS)
# The file system, or a limit of the system, does not allow a hard link.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def make_empty_folder(path: Path) -> None:
    """Make an empty folder; an existing one is deleted first."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file so that other processes, and a crash, see the old content or the new one, never a part."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy on another disk or a file system without links."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target)


def reserve_space(path: Path, size: int) -> None:
    """Create or extend a file to ``size`` bytes of allocated disk space, where the file system supports it.

    Without this, a full disk under a memory map would kill the process.

    Raises:
        OSError: the disk has less free space; the file is removed.
    """
    path.touch()
    with path.open("r+b") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in _NOT_SUPPORTED:
                return
            path.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from None


def save_weights(network: keras.Model, path: Path) -> None:
    """Write a network's weights as ``.weights.h5``. Space is reserved first, because HDF5 crashes on a full disk.

    Raises:
        OSError: the disk is full; no file is left.
    """
    sizes = [_FLOAT32_BYTES * math.prod(variable.shape) + _HDF5_OVERHEAD for variable in network.variables]
    reserve_space(path, sum(sizes) + _HDF5_OVERHEAD)
    network.save_weights(path)
