"""Synthetic features and captions of any size. Their content does not change what is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, SPECIAL_TOKENS, Vocabulary

POSITIONS, CHANNELS = 64, 1536  # the feature map of InceptionResNetV2
CAPTIONS_PER_IMAGE = 5
# Words per caption -> captions per thousand, approximately as in COCO; the mean is 10.5.
CAPTION_LENGTHS = {7: 10, 8: 164, 9: 212, 10: 219, 11: 159, 12: 103, 13: 60, 14: 32, 15: 18, 16: 10, 18: 8, 22: 5}
MEAN_LENGTH = 11  # rounded


def make_captions(images: int, vocab_size: int) -> TokenizedCaptions:
    """Return `CAPTIONS_PER_IMAGE` captions per image; word frequencies follow Zipf's law (1 / rank)."""
    random = np.random.default_rng(0)
    shares = np.array(list(CAPTION_LENGTHS.values()), float)
    words_M = random.choice(list(CAPTION_LENGTHS), images * CAPTIONS_PER_IMAGE, p=shares / shares.sum())
    ranks = vocab_size - len(SPECIAL_TOKENS)
    cumulative = np.cumsum(1 / np.arange(1, ranks + 1))
    lengths_M = (words_M + 1).astype(np.int32)  # with <end>
    uniform = random.random(lengths_M.sum()) * cumulative[-1]
    ids = np.searchsorted(cumulative, uniform).astype(np.int32) + len(SPECIAL_TOKENS)
    ids[np.cumsum(lengths_M) - 1] = END
    return TokenizedCaptions(ids, lengths_M, np.full(images, CAPTIONS_PER_IMAGE, np.int32))


def make_vocabulary(size: int) -> Vocabulary:
    """Return a vocabulary of ``size`` tokens, the special ones included."""
    return Vocabulary.from_words(f"w{number}" for number in range(size - len(SPECIAL_TOKENS)))


def write_features(path: Path, images: int) -> np.ndarray:
    """Write a float16 file [images, positions, channels]; return it mapped into memory, as training reads it."""
    random = np.random.default_rng(0)
    features_NxPxC = np.lib.format.open_memmap(path, "w+", np.float16, (images, POSITIONS, CHANNELS))
    block_BxPxC = random.random((min(images, 256), POSITIONS, CHANNELS), np.float32).astype(np.float16)
    for first in range(0, images, len(block_BxPxC)):
        rows = features_NxPxC[first : first + len(block_BxPxC)]
        rows[:] = block_BxPxC[: len(rows)]
    features_NxPxC.flush()
    return np.load(path, mmap_mode="r")
