"""Captions as words, split as COCO scores are: what the scores count, and what the vocabulary is made of."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

# coco-caption runs the Java PTBTokenizer, which writes brackets as -LRB- and so on, and drops the tokens
# '' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ; Here brackets stay themselves, and any run of these marks,
# such as "..", is punctuation too.
PUNCTUATION = "'`\".?!,:;-()[]{}"

# The Java tokenizer turns these into their ASCII forms before the punctuation is dropped.
_MARKS = {"'": "‘’‚‛", '"': "“”„«»", " -- ": "‒–—―", "...": "…"}
_ASCII = str.maketrans({mark: ascii_form for ascii_form, marks in _MARKS.items() for mark in marks})

# Words without apostrophes that the Penn Treebank splits all the same: can not, gim me, ...
_PLAIN = re.compile(r"(?!.*\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b)[a-z0-9 ]*\.?", re.ASCII)


def ptb_words(caption: str) -> list[str]:
    """The words of a caption: lower case, split as the Penn Treebank does, without punctuation.

    >>> ptb_words("The dog's ball\\nisn't red (but blue)!")
    ['the', 'dog', "'s", 'ball', 'is', "n't", 'red', 'but', 'blue']
    """
    line = " ".join(caption.translate(_ASCII).lower().split())
    if _PLAIN.fullmatch(line):  # most captions; the tokenizer would say the same, many times slower
        return line.rstrip(".").split()
    return _treebank_words(line)


def _treebank_words(line: str) -> list[str]:
    """The words of a lower-case line of ASCII punctuation, by nltk's tokenizer whatever the line looks like."""
    return [word for word in _tokenizer()(line) if word.strip(PUNCTUATION)]


@functools.cache
def _tokenizer() -> Callable[[str], list[str]]:
    """nltk's tokenizer, imported at the first caption that needs it: that takes seconds, with all that nltk imports."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize
