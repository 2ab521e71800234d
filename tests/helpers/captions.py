"""Captions with the punctuation and odd tokens of hand-typed text."""

from __future__ import annotations

import random

WORDS = ["a", "man", "woman", "dog", "two", "red", "blue", "ball", "runs", "sits", "on", "in", "grass", "the", "street"]
PUNCTUATION = [
    *("({})", "[{}]", "{{{}}}", '"{}"', "'{}'", "“{}”", "{},", "{}.", "{}...", "{}…", "{}!", "{}!!", "{}?!", "{}--"),
    *("{};", "{}:", "{} - {}", "{}'s", "{}s'", "{}’s", "Mr. {}", "U.S. {}", "{} etc.", "St. {}", "no. 5 {}", "{}\n"),
    *("\t{}", "({}.) ", "{} ({})", "{}/{}", "{}-{}", "{}—{}", "{} – {}", "*{}*", "#{}", "@{}", "{} & {}", "'{}"),
]
ODD_TOKENS = [
    *(
        "isn't",
        "can’t",
        "they're",
        "7-up",
        "t-shirt",
        "2:30",
        "$5",
        "50%",
        "&",
        "#1",
        "cannot",
        "gonna",
        "a.m.",
        "e.g.",
    ),
    *("1/2", "½", "café", "rock 'n' roll", "'90s", "10,000", "3.5", "http://x.com", ":)", "~", "x-ray", "o'clock"),
    *("mother-in-law", "y'all", "I'm", "e.g., this", "Ph.D.", "5 p.m.", "-", "--", "...", "!!", "日本"),
]


def untidy_caption(rng: random.Random) -> str:
    """Return a caption of 4 to 14 words, about a third of them with punctuation, odd, or in upper case."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(4, 14))]
    for index in range(len(words)):
        draw = rng.random()
        if draw < 0.15:
            words[index] = rng.choice(PUNCTUATION).format(words[index], rng.choice(WORDS))
        elif draw < 0.25:
            words[index] = rng.choice(ODD_TOKENS)
        elif draw < 0.35:
            words[index] = words[index].upper()
    return " ".join(words)
