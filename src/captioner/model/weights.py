"""The hash of trained weights. Needs no keras."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np


def weights_hash(path: Path) -> str:
    """sha256 over all weights of a ``.weights.h5`` file in the order of their names: name, dtype, shape, bytes."""
    digest = hashlib.sha256()

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(f"{name} {item.dtype} {item.shape}\n".encode())
            digest.update(np.ascontiguousarray(item[()]).tobytes())

    with h5py.File(path) as file:
        file.visititems(add)  # in the order of the names
    return digest.hexdigest()
