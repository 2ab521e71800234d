"""The hash of trained weights. It does not need Keras."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np


def weights_hash(path: Path) -> str:
    """Return the sha256 of all weights of a ``.weights.h5`` file: name, dtype, shape and bytes, sorted by name."""
    digest = hashlib.sha256()

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(f"{name} {item.dtype} {item.shape}\n".encode())
            digest.update(np.ascontiguousarray(item[()]).tobytes())

    with h5py.File(path) as file:
        file.visititems(add)  # h5py visits the items in the order of their names
    return digest.hexdigest()
