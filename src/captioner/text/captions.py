"""Token ids of a split: all captions of all pictures, one after another, without padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from captioner.disk import reading


@dataclass(frozen=True)
class TokenizedCaptions:
    """The captions of N pictures as M runs of ids.

    Attributes:
        ids: int32, the ids of all captions behind one another, each without ``<start>`` and, unless it was cut,
            with ``<end>``.
        lengths_M: int32, how many ids each caption has.
        counts_N: int32, how many captions each picture has; they lie together, in the pictures' order.
    """

    ids: np.ndarray
    lengths_M: np.ndarray
    counts_N: np.ndarray

    @cached_property
    def starts_M(self) -> np.ndarray:
        """Where each caption's ids begin."""
        return np.cumsum(self.lengths_M) - self.lengths_M

    @cached_property
    def first_N(self) -> np.ndarray:
        """The number of each picture's first caption."""
        return np.cumsum(self.counts_N) - self.counts_N

    @cached_property
    def longest_N(self) -> np.ndarray:
        """How many ids each picture's longest caption has."""
        return np.maximum.reduceat(self.lengths_M, self.first_N)

    def of_picture(self, row: int) -> list[np.ndarray]:
        """The ids of each caption of the picture in this row."""
        first = self.first_N[row]
        return [
            self.ids[self.starts_M[m] : self.starts_M[m] + self.lengths_M[m]]
            for m in range(first, first + self.counts_N[row])
        ]

    def write(self, folder: Path) -> None:
        """Writes three .npy files: unlike those of an archive, their bytes depend on nothing but the ids."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in (("ids", self.ids), ("lengths", self.lengths_M), ("counts", self.counts_N)):
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def read(cls, folder: Path) -> TokenizedCaptions:
        """Reads what `write` wrote."""
        with reading(folder):
            return cls(*(np.load(folder / f"{name}.npy") for name in ("ids", "lengths", "counts")))
