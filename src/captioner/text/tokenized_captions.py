"""Token ids of a split: the captions of all images, concatenated without padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from captioner.common.reading import reading_stage_output


@dataclass(frozen=True)
class TokenizedCaptions:
    """The M captions of N images as token ids.

    Attributes:
        ids: int32, the concatenated ids of all captions. Each caption has no ``<start>`` and ends with ``<end>``,
            unless it was truncated.
        lengths_M: int32, the number of ids of each caption.
        counts_N: int32, the number of captions of each image. Captions are in the order of the images.
    """

    ids: np.ndarray
    lengths_M: np.ndarray
    counts_N: np.ndarray

    @cached_property
    def starts_M(self) -> np.ndarray:
        """The index in ``ids`` of each caption's first id."""
        return np.cumsum(self.lengths_M) - self.lengths_M

    @cached_property
    def first_captions_N(self) -> np.ndarray:
        """The index in [M] of each image's first caption."""
        return np.cumsum(self.counts_N) - self.counts_N

    @cached_property
    def max_lengths_N(self) -> np.ndarray:
        """The number of ids of each image's longest caption."""
        return np.maximum.reduceat(self.lengths_M, self.first_captions_N)

    def of_image(self, row: int) -> list[np.ndarray]:
        """Return the ids of each caption of the image in this row."""
        captions = slice(self.first_captions_N[row], self.first_captions_N[row] + self.counts_N[row])
        starts, lengths = self.starts_M[captions], self.lengths_M[captions]
        return [self.ids[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def write(self, folder: Path) -> None:
        """Write three .npy files. Their bytes depend only on the ids; those of an .npz archive include the time."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in (("ids", self.ids), ("lengths", self.lengths_M), ("counts", self.counts_N)):
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def read(cls, folder: Path) -> TokenizedCaptions:
        """Return the captions that `write` wrote.

        Raises:
            UserError: a file is missing or damaged.
        """
        with reading_stage_output(folder):
            return cls(*(np.load(folder / f"{name}.npy") for name in ("ids", "lengths", "counts")))
