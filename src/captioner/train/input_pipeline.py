"""The input pipeline: batches of images with all their captions. Only seed and epoch determine the order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, PAD, START, UNKNOWN

# Lengths are rounded up to a multiple of this number of tokens, because each new shape costs a compilation.
LENGTH_STEP = 4
# Maximum number of tokens in a chunk, so that their logits fit a processor's cache, and the step of its length.
CHUNK, CHUNK_STEP = 512, 32


@dataclass(frozen=True)
class Batch:
    """The input of one training step.

    Attributes:
        inputs: ``features`` [B, P, C] float16; ``input_ids`` [B, K, T] int32, the id before each token;
            ``token_positions`` [X, R] int32, the indices of the real tokens in [B * K * T], in X chunks of R.
        targets_XxR: the ids of the real tokens, int32.
        weights_XxR: 1 for a real token, 0 for the padding of the last chunk.
        tokens: the number of real tokens, ``<end>`` included.
        captions: the number of captions.
    """

    inputs: dict[str, np.ndarray]
    targets_XxR: np.ndarray
    weights_XxR: np.ndarray
    tokens: int
    captions: int


@dataclass(frozen=True)
class InputPipeline:
    """The batches of a split.

    Attributes:
        features_NxPxC: float16, one row per image; can be memory-mapped or on a GPU.
        captions: the token ids of the captions of each image.
        batch_size: the largest number of images per batch; the sizes of the batches differ by at most one. A short last
            batch would hold the longest captions in every epoch.
        seed: determines the order and which input tokens are dropped.
        word_dropout: the fraction of input words that are replaced by ``<unk>``.
    """

    features_NxPxC: np.ndarray
    captions: TokenizedCaptions
    batch_size: int
    seed: int = 0
    word_dropout: float = 0.0

    def __len__(self) -> int:
        return -(-len(self.features_NxPxC) // self.batch_size)

    def shuffled(self, epoch: int) -> Iterator[Batch]:
        """Yield every image once, in random order, but images with captions of similar length in the same batch."""
        generator = np.random.default_rng((self.seed, epoch))
        order_N = generator.permutation(len(self.features_NxPxC))
        length_steps_N = -(-self.captions.max_lengths_N[order_N] // LENGTH_STEP)
        order_N = order_N[np.argsort(length_steps_N, kind="stable")]
        batches = np.array_split(order_N, len(self))
        for number in generator.permutation(len(self)):
            yield self._make_batch(batches[number], generator if self.word_dropout else None)

    def in_order(self) -> Iterator[Batch]:
        """Yield every image once, in the order of the rows, without word dropout."""
        for rows in np.array_split(np.arange(len(self.features_NxPxC)), len(self)):
            yield self._make_batch(rows, None)

    def _make_batch(self, rows: np.ndarray, generator: np.random.Generator | None) -> Batch:
        """Return the batch of these rows; a generator applies word dropout."""
        rows = np.sort(rows)  # a memory-mapped file is then read sequentially
        captions = self.captions.counts_N[rows].max()
        length = -(-self.captions.max_lengths_N[rows].max() // LENGTH_STEP) * LENGTH_STEP
        targets_BxKxT = np.full((len(rows), captions, length), PAD, np.int32)
        for b, row in enumerate(rows):
            for k, ids in enumerate(self.captions.of_image(row)):
                targets_BxKxT[b, k, : len(ids)] = ids
        inputs_BxKxT = np.full_like(targets_BxKxT, START)
        inputs_BxKxT[..., 1:] = targets_BxKxT[..., :-1]
        if generator is not None:
            dropped = generator.random(inputs_BxKxT.shape) < self.word_dropout
            inputs_BxKxT[dropped & (inputs_BxKxT > END)] = UNKNOWN
        positions = np.flatnonzero(targets_BxKxT != PAD)
        targets, weights = targets_BxKxT.reshape(-1)[positions], np.ones(len(positions), np.float32)
        return Batch(
            inputs={
                "features": self.features_NxPxC[rows],
                "input_ids": inputs_BxKxT,
                "token_positions": _split_into_chunks(positions.astype(np.int32)),
            },
            targets_XxR=_split_into_chunks(targets),
            weights_XxR=_split_into_chunks(weights),
            tokens=len(positions),
            captions=int(self.captions.counts_N[rows].sum()),
        )


def _split_into_chunks(values_N: np.ndarray) -> np.ndarray:
    """Return [X, R], padded with 0: the smallest number of chunks X, and for this number the smallest length R."""
    chunks = -(-len(values_N) // CHUNK)
    length = -(-len(values_N) // (chunks * CHUNK_STEP)) * CHUNK_STEP
    return np.pad(values_N, (0, chunks * length - len(values_N))).reshape(chunks, length)
