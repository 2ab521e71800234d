"""Batches of pictures, each with all of its captions, in an order that only the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from captioner.config import END, PAD, START, UNKNOWN
from captioner.text.captions import TokenizedCaptions

# Few different shapes mean few compilations: lengths are rounded up to a multiple of this many words.
LENGTH_STEP = 4
# A piece of the real words: at most so many, so that their logits fit a processor's cache, and a multiple of so many.
PIECE, PIECE_STEP = 512, 32


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        inputs: ``features`` [B, P, C] float16, ``inputs`` [B, K, T] int32, ``where`` [X, R] int32: the places of the
            real words in [B * K * T], in X pieces of R.
        targets_XxR: the real words, int32.
        weights_XxR: 1 for a real word, 0 where the last piece was filled up.
        tokens: how many real words (``<end>`` included) there are.
        captions: how many captions there are.
    """

    inputs: dict[str, np.ndarray]
    targets_XxR: np.ndarray
    weights_XxR: np.ndarray
    tokens: int
    captions: int


@dataclass(frozen=True)
class Batches:
    """The batches of a split.

    Attributes:
        features_NxPxC: float16, one row a picture; may be memory-mapped, or lie on a GPU.
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
        targets, weights = targets_BxKxT.reshape(-1)[where], np.ones(len(where), np.float32)
        return Batch(
            inputs={
                "features": self.features_NxPxC[rows],
                "inputs": inputs_BxKxT,
                "where": _in_pieces(where.astype(np.int32)),
            },
            targets_XxR=_in_pieces(targets),
            weights_XxR=_in_pieces(weights),
            tokens=len(where),
            captions=int(self.captions.counts_N[rows].sum()),
        )


def _in_pieces(values_N: np.ndarray) -> np.ndarray:
    """[X, R], filled up with 0: as few pieces as may be, of as few words as may be."""
    pieces = -(-len(values_N) // PIECE)
    words = -(-len(values_N) // (pieces * PIECE_STEP)) * PIECE_STEP
    return np.pad(values_N, (0, pieces * words - len(values_N))).reshape(pieces, words)
