"""Captions as words, split as COCO scores are: what the scores count, and what the vocabulary is made of."""

from __future__ import annotations

import re

# coco-caption runs the Java PTBTokenizer of CoreNLP 3.4.1 and then drops these tokens. It lists brackets too, in
# capitals, but the tokenizer has made them lower case by then: they count as words, and so they do here.
_DROPPED = re.compile(r"""['"`?!,:;]|\.+|-+""")
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_BRACKET = re.compile(r"[()\[\]{}]")

# The Java tokenizer turns these into their ASCII forms first.
_FORMS = {
    "'": "‘’‚‛‹›",
    '"': "“”„«»",
    " -- ": "‒–—―",
    " ... ": "…",
    "1/2": "½",
    "1/4": "¼",
    "3/4": "¾",
    "$": "€",
    "#": "£",
    "": "\xad",
}
_ASCII = str.maketrans({mark: form for form, marks in _FORMS.items() for mark in marks})

_ABBREVIATIONS = """
    adm|al|ala|alex|apr|ariz|assn|attys|aug|ave|bldg|blvd|brig|bros|calif|capt|cf|cmdr|co|col|colo|conn|corp|cos|cpl|dec
    |dept|det|dr|drs|est|etc|ext|feb|fla|fri|ft|ga|gen|gov|hon|inc|ind|insp|intl|jan|jos|jr|jul|jun|kan|ky|lieut|lt|ltd
    |maj|mar|md|messrs|mich|minn|mlle|mme|mo|mon|mont|mr|mrs|ms|mt|neb|nev|nov|oct|okla|penn|ph|plc|pres|prof|profs|pvt
    |rd|rep|rev|rt|sen|sep|sept|sgt|sq|sr|st|ste|supt|sys|tel|tenn|thu|thurs|tue|tues|univ|va|vs|vt|wed|wis|wm|wyo
"""
_BEFORE_NUMBERS = "ca|fig|no|op|pp"

# Control characters, marks for the direction of writing and their like, and private ones.
_UNSEEN = r"\x00-\x08\x0e-\x1b\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ue000-\uf8ff\ufeff"

# The first that fits is the next token. After those rules of CoreNLP's PTBLexer.flex that captions meet.
_TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)\S*[^\s.,;:!?'")\]}}]
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)* | [@\#][a-z_]+ | </?[a-z]\w*>
    | [<>]?[:;=]'?-?[()] | [:;][dp]\b
    | \bph\.d\. | \b(?:[a-z]\.)+(?:[a-z]\b)?(?!\w) # u.s., a.m, plan b.
    | \b(?:{_ABBREVIATIONS})\. | \b(?:{_BEFORE_NUMBERS})\.(?=\s*\d)
    | \b(?:can(?=not\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|wan(?=na\b)|y'(?=all\b)|ol'(?!\w))
    | (?<!\w)'(?:n'|\d\ds?\b|(?:em|til|cause)\b|t(?=is\b|was\b)) | '(?:s|m|d|ll|re|ve|n)\b
    | n't\b | \w+?(?=n't\b) | \b(?:c|d|l|ma|o|qu)'[a-z]{{2,}}
    | [+-]?\d+(?:[.,:/]\d+)+(?:-\w+)* | (?<!\w)[+-]\d+\b | (?<!\w)\.\d+
    | \w+(?:[-./‐‑]\w+)*
    | [?!]+ | \.+ | -+ | \*+ | [^\s{_UNSEEN}\U00010000-\U0010ffff]
    """,
    re.VERBOSE,
)


def ptb_words(caption: str) -> list[str]:
    """The words of a caption as coco-caption counts them: lower case, split as the Penn Treebank does.

    >>> ptb_words("The dog's ball\\nisn't red (but blue)!")
    ['the', 'dog', "'s", 'ball', 'is', "n't", 'red', '-lrb-', 'but', 'blue', '-rrb-']
    """
    tokens = _TOKEN.findall(caption.translate(_ASCII).lower())
    return [_BRACKET.sub(_name, token) for token in tokens if not _DROPPED.fullmatch(token)]


def _name(bracket: re.Match[str]) -> str:
    return BRACKETS[bracket[0]]
