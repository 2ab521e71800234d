"""What the scores hide: a model that writes the same few safe captions again and again can score well."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain

import numpy as np

from captioner.config import SPECIAL_TOKENS
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary
from captioner.text.words import ptb_words

# An English caption that ends with one of these stops in the middle: "a man with a".
_OPEN_ENDS = frozenset(
    [
        *("a", "an", "the", "and", "or", "of", "with", "in", "on", "at", "to", "by", "from", "for", "into"),
        *("his", "her", "its", "their", "is", "are", "while"),
    ]
)
_TWICE = re.compile(r"(?<!\S)(\S+(?: \S+){0,3}) \1(?!\S)")


def habits(captions: Collection[str], vocabulary: Vocabulary, training: TokenizedCaptions) -> dict[str, float]:
    """How the captions are written, whatever the pictures show.

    Returns:
        Shares of the captions: ``distinct`` (different ones), ``novel`` (not among the training captions),
        ``unfinished`` (end in the middle), ``repeating`` (say one to four words twice in a row).
        ``vocabulary_used``: the share of the vocabulary's words. ``mean_length``: in words.
    """
    written = [ptb_words(caption) for caption in captions]
    known = {ids.tobytes() for ids in np.split(training.ids, training.starts_M[1:])}
    encoded = [np.asarray(vocabulary.encode(words, len(words)), training.ids.dtype) for words in written]
    words_known = frozenset(vocabulary.tokens[len(SPECIAL_TOKENS) :])
    count = len(written)
    return {
        "distinct": len({tuple(words) for words in written}) / count,
        "novel": sum(ids.tobytes() not in known for ids in encoded) / count,
        "unfinished": sum(bool(words) and words[-1] in _OPEN_ENDS for words in written) / count,
        "repeating": sum(bool(_TWICE.search(" ".join(words))) for words in written) / count,
        "vocabulary_used": len(words_known.intersection(chain.from_iterable(written))) / len(words_known),
        "mean_length": sum(map(len, written)) / count,
    }
