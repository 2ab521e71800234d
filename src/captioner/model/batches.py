"""Batches of pictures, each with all of its captions, in an order that only the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from captioner.config import END, PAD, START, UNKNOWN
from captioner.text.captions import TokenizedCaptions

# Few different shapes mean few compilations: lengths are rounded up to a multiple of this many words,
# and the number of real words to a multiple of this share of the places.
LENGTH_STEP = 4
SHARE_STEP = 4


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        inputs: ``features`` [B, P, C] float16, ``inputs`` [B, K, T] int32, ``where`` [N] int32.
        targets_N: the real words, int32.
        weights_N: 1 for a real word, 0 where N was rounded up.
        tokens: how many real words (``<end>`` included) there are.
        captions: how many captions there are.
    """

    inputs: dict[str, np.ndarray]
    targets_N: np.ndarray
    weights_N: np.ndarray
    tokens: int
    captions: int


@dataclass(frozen=True)
class Batches:
    """The batches of a split.

    Attributes:
        features_NxPxC: float16, one row a picture; may be memory-mapped.
        captions: their ids.
        size: pictures in a batch.
        seed: decides the order and which words are dropped.
        word_dropout: share of input words that become ``<unk>``.
    """

    features_NxPxC: np.ndarray
    captions: TokenizedCaptions
    size: int
    seed: int = 0
    word_dropout: float = 0.0

    def __len__(self) -> int:
        return -(-len(self.features_NxPxC) // self.size)

    def shuffled(self, epoch: int) -> Iterator[Batch]:
        """Every picture once: in random order, but captions of about the same length together."""
        random = np.random.default_rng((self.seed, epoch))
        order_N = random.permutation(len(self.features_NxPxC))
        longest_N = -(-self.captions.longest_N[order_N] // LENGTH_STEP)
        order_N = order_N[np.argsort(longest_N, kind="stable")]
        for number in random.permutation(len(self)):
            rows = order_N[number * self.size : (number + 1) * self.size]
            yield self._batch(rows, random if self.word_dropout else None)

    def in_order(self) -> Iterator[Batch]:
        """Every picture once, in the order of the rows, without word dropout."""
        for first in range(0, len(self.features_NxPxC), self.size):
            yield self._batch(np.arange(first, min(first + self.size, len(self.features_NxPxC))), None)

    def _batch(self, rows: np.ndarray, random: np.random.Generator | None) -> Batch:
        # Sorted rows read a memory-mapped file from front to back.
        rows = np.sort(rows)
        captions = self.captions.counts_N[rows].max()
        length = -(-self.captions.longest_N[rows].max() // LENGTH_STEP) * LENGTH_STEP
        targets_BxKxT = np.full((len(rows), captions, length), PAD, np.int32)
        for b, row in enumerate(rows):
            for k, ids in enumerate(self.captions.of_picture(row)):
                targets_BxKxT[b, k, : len(ids)] = ids
        inputs_BxKxT = np.full_like(targets_BxKxT, START)
        inputs_BxKxT[..., 1:] = targets_BxKxT[..., :-1]
        if random is not None:
            dropped = random.random(inputs_BxKxT.shape) < self.word_dropout
            inputs_BxKxT[dropped & (inputs_BxKxT > END)] = UNKNOWN
        where = np.flatnonzero(targets_BxKxT != PAD)
        step = max(1, targets_BxKxT.size // SHARE_STEP)
        padding = -len(where) % step
        return Batch(
            inputs={
                "features": np.asarray(self.features_NxPxC[rows]),
                "inputs": inputs_BxKxT,
                "where": np.pad(where, (0, padding)).astype(np.int32),
            },
            targets_N=np.pad(targets_BxKxT.reshape(-1)[where], (0, padding)).astype(np.int32),
            weights_N=np.pad(np.ones(len(where), np.float32), (0, padding)),
            tokens=len(where),
            captions=int(self.captions.counts_N[rows].sum()),
        )
