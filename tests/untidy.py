"""Captions as people type them when nobody looks."""

from __future__ import annotations

import random

WORDS = ["a", "man", "woman", "dog", "two", "red", "blue", "ball", "runs", "sits", "on", "in", "grass", "the", "street"]
MARKED = [
    *("({})", "[{}]", "{{{}}}", '"{}"', "'{}'", "“{}”", "{},", "{}.", "{}...", "{}…", "{}!", "{}!!", "{}?!", "{}--"),
    *("{};", "{}:", "{} - {}", "{}'s", "{}s'", "{}’s", "Mr. {}", "U.S. {}", "{} etc.", "St. {}", "no. 5 {}", "{}\n"),
    *("\t{}", "({}.) ", "{} ({})", "{}/{}", "{}-{}", "{}—{}", "{} – {}", "*{}*", "#{}", "@{}", "{} & {}", "'{}"),
]
ODD = [
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


def untidy(chance: random.Random) -> str:
    """A caption of 4 to 14 words, some of them spoilt."""
    words = [chance.choice(WORDS) for _ in range(chance.randint(4, 14))]
    for place in range(len(words)):
        fate = chance.random()
        if fate < 0.15:
            words[place] = chance.choice(MARKED).format(words[place], chance.choice(WORDS))
        elif fate < 0.25:
            words[place] = chance.choice(ODD)
        elif fate < 0.35:
            words[place] = words[place].upper()
    return " ".join(words)
