"""Penn Treebank tokenization of captions, as the COCO scores use it; the vocabulary is made of the same words."""

from __future__ import annotations

import re

# coco-caption runs the Java PTBTokenizer of CoreNLP 3.4.1 and then drops these tokens. Its list also has brackets,
# such as -LRB-, but the tokenizer returns them in lower case. So they are not dropped there, and not here.
_DROPPED = re.compile(r"""['"`?!,:;]|\.+|-+""")
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_BRACKET_NAMES = str.maketrans(BRACKETS)

# The Java tokenizer first replaces these characters by their ASCII forms.
_ASCII_FORMS = {
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
_ASCII = str.maketrans({character: form for form, characters in _ASCII_FORMS.items() for character in characters})

_ABBREVIATIONS = """
    adm|al|ala|alex|apr|ariz|assn|attys|aug|ave|bldg|blvd|brig|bros|calif|capt|cf|cmdr|co|col|colo|conn|corp|cos|cpl|dec
    |dept|det|dr|drs|est|etc|ext|feb|fla|fri|ft|ga|gen|gov|hon|inc|ind|insp|intl|jan|jos|jr|jul|jun|kan|ky|lieut|lt|ltd
    |maj|mar|md|messrs|mich|minn|mlle|mme|mo|mon|mont|mr|mrs|ms|mt|neb|nev|nov|oct|okla|penn|ph|plc|pres|prof|profs|pvt
    |rd|rep|rev|rt|sen|sep|sept|sgt|sq|sr|st|ste|supt|sys|tel|tenn|thu|thurs|tue|tues|univ|va|vs|vt|wed|wis|wm|wyo
"""
_BEFORE_NUMBERS = "ca|fig|no|op|pp"

# Control characters, other invisible formatting characters such as writing directions, and the private use area.
_INVISIBLE = r"\x00-\x08\x0e-\x1b\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ue000-\uf8ff\ufeff"

# The first alternative that matches is the next token. These are the rules of CoreNLP's PTBLexer.flex for captions.
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
    | [?!]+ | \.+ | -+ | \*+ | [^\s{_INVISIBLE}\U00010000-\U0010ffff]
    """,
    re.VERBOSE,
)


def ptb_tokenize(caption: str) -> list[str]:
    """Return the words of a caption as coco-caption counts them: in lower case, without punctuation.

    >>> ptb_tokenize("The dog's ball\\nisn't red (but blue)!")
    ['the', 'dog', "'s", 'ball', 'is', "n't", 'red', '-lrb-', 'but', 'blue', '-rrb-']
    """
    tokens = _TOKEN.findall(caption.translate(_ASCII).lower())
    return [token.translate(_BRACKET_NAMES) for token in tokens if not _DROPPED.fullmatch(token)]
