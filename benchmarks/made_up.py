"""Features and captions that were made up, of any size: what is measured does not depend on what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from captioner.config import END, SPECIAL_TOKENS
from captioner.text.captions import TokenizedCaptions

CAPTIONS = 5  # a picture
# About what COCO's captions have: words a caption, 10.5 on average, and how many captions in a thousand have so many.
LENGTHS = {7: 10, 8: 164, 9: 212, 10: 219, 11: 159, 12: 103, 13: 60, 14: 32, 15: 18, 16: 10, 18: 8, 22: 5}


def captions(pictures: int, vocab_size: int, seed: int = 0) -> TokenizedCaptions:
    """`CAPTIONS` captions of each picture; the words are as frequent as Zipf's law (1 / rank) has it."""
    random = np.random.default_rng(seed)
    shares = np.array(list(LENGTHS.values()), float)
    words_M = random.choice(list(LENGTHS), pictures * CAPTIONS, p=shares / shares.sum())
    ranks = vocab_size - len(SPECIAL_TOKENS)
    odds = np.cumsum(1 / np.arange(1, ranks + 1))
    lengths_M = (words_M + 1).astype(np.int32)  # with <end>
    ids = np.searchsorted(odds, random.random(lengths_M.sum()) * odds[-1]).astype(np.int32) + len(SPECIAL_TOKENS)
    ids[np.cumsum(lengths_M) - 1] = END
    return TokenizedCaptions(ids, lengths_M, np.full(pictures, CAPTIONS, np.int32))


def features(path: Path, pictures: int, positions: int, channels: int) -> np.ndarray:
    """A float16 file [pictures, positions, channels], mapped into memory as `train` maps it."""
    random = np.random.default_rng(0)
    array_NxPxC = np.lib.format.open_memmap(path, "w+", np.float16, (pictures, positions, channels))
    block_BxPxC = random.random((min(pictures, 256), positions, channels), np.float32).astype(np.float16)
    for first in range(0, pictures, len(block_BxPxC)):
        rows = array_NxPxC[first : first + len(block_BxPxC)]
        rows[:] = block_BxPxC[: len(rows)]
    array_NxPxC.flush()
    return np.load(path, mmap_mode="r")
