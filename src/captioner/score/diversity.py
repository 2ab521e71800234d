"""Diversity of generated captions. A model that repeats a few safe captions can have good scores."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain

import numpy as np

from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.tokenizer import ptb_tokenize
from captioner.text.vocabulary import SPECIAL_TOKENS, Vocabulary

# An English caption whose last word is one of these is unfinished, for example "a man with a".
_INCOMPLETE_ENDINGS = frozenset(
    [
        *("a", "an", "the", "and", "or", "of", "with", "in", "on", "at", "to", "by", "from", "for", "into"),
        *("his", "her", "its", "their", "is", "are", "while"),
    ]
)
_REPETITION = re.compile(r"(?<!\S)(\S+(?: \S+){0,3}) \1(?!\S)")


def diversity_metrics(
    captions: Collection[str], vocabulary: Vocabulary, training: TokenizedCaptions
) -> dict[str, float]:
    """Return statistics of generated captions that need no references.

    Returns:
        As fractions of the captions: ``distinct`` (different captions), ``novel`` (not among the training captions),
        ``unfinished`` (the last word is one like "a" or "with"), ``repeating`` (an n-gram of one to four words occurs
        twice in a row). ``vocabulary_used``: fraction of the vocabulary's words that occur. ``mean_length``: words per
        caption.
    """
    tokenized = [ptb_tokenize(caption) for caption in captions]
    training_captions = {ids.tobytes() for ids in np.split(training.ids, training.starts_M[1:])}
    encoded = [np.asarray(vocabulary.encode(words, len(words)), training.ids.dtype) for words in tokenized]
    vocabulary_words = frozenset(vocabulary.tokens[len(SPECIAL_TOKENS) :])
    count = len(tokenized)
    return {
        "distinct": len({tuple(words) for words in tokenized}) / count,
        "novel": sum(ids.tobytes() not in training_captions for ids in encoded) / count,
        "unfinished": sum(bool(words) and words[-1] in _INCOMPLETE_ENDINGS for words in tokenized) / count,
        "repeating": sum(bool(_REPETITION.search(" ".join(words))) for words in tokenized) / count,
        "vocabulary_used": len(vocabulary_words.intersection(chain.from_iterable(tokenized))) / len(vocabulary_words),
        "mean_length": sum(map(len, tokenized)) / count,
    }
