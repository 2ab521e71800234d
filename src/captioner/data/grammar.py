"""Says what is in a scene, and whether a caption says it rightly."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

from captioner.data.scenes import COLOURS, SHAPES, Scene, Thing

NUMBERS = {"a": 1, "an": 1, "one": 1, "another": 1, "two": 2, "three": 3}
COUNT_WORDS = {1: "one", 2: "two", 3: "three"}
PLURALS = {shape: {"cross": "crosses"}.get(shape, f"{shape}s") for shape in SHAPES}
CAPTIONS = 5  # of each scene, as in COCO

# {0} {1} {2} are the things with their sizes ("a large red circle"), {0.plain} without them.
# The first template of each list is among every scene's five; the others are drawn from the rest.
_AT = {
    **{"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"},
    "middle": "in the middle",
}
_WORDS = {
    "row": {"before": "to the left of", "after": "to the right of", "first": "on the left", "last": "on the right"}
    | {"line": "from left to right"},
    "column": {"before": "above", "after": "below", "first": "at the top", "last": "at the bottom"}
    | {"line": "from top to bottom"},
}
_ONE = (
    "{0} {at}",
    "there is {0} {at}",
    "{0.plain} {at} of the picture",
    "a picture of {0}",
    "{at} there is {0}",
    "only {0}",
    "{0.plain} {at}",
)
_TWO = (
    "{0} {before} {1}",
    "there is {0} {before} {1}",
    "{0.plain} {before} {1.plain}",
    "{0} {first} and {1} {last}",
    "a picture of {0} and {1}",
    "{count} shapes: {0} and {1}",
    "{1} {after} {0}",
)
_THREE = (
    "{0}, {1} and {2} {line}",
    "there is {0}, {1} and {2} {line}",
    "{0.plain}, {1.plain} and {2.plain} {line}",
    "{0} {before} {1} and {2}",
    "a picture of {0}, {1} and {2}",
    "{count} shapes: {0}, {1} and {2}",
    "{1.plain} between {0.plain} and {2.plain}",
)

# Where all things are equal, this is the fifth caption.
_EQUAL = "{count} {0.plural} in a {place}"

_ONE_OF = {
    "number": "|".join(NUMBERS),
    "colour": "|".join(COLOURS),
    "shape": "|".join([*PLURALS.values(), *SHAPES]),
}
_MENTION = re.compile(r"\b({number}) (?:small |large )?({colour}) ({shape})\b".format(**_ONE_OF))
_LOOK = re.compile(r"\b(?:{colour}|{shape})\b".format(**_ONE_OF))
_SINGULARS = {plural: shape for shape, plural in PLURALS.items()}


class _Phrase:
    """A thing as a phrase."""

    def __init__(self, thing: Thing) -> None:
        size, colour, shape = thing.kind
        self.plain = f"{_article(colour)} {colour} {shape}"
        self.plural = f"{size} {colour} {PLURALS[shape]}"
        self._full = f"{_article(size)} {size} {colour} {shape}"

    def __format__(self, _: str) -> str:
        return self._full


def captions_of(scene: Scene) -> list[str]:
    """Five different captions; each names the colour and the shape of every thing in the scene."""
    count = len(scene.things)
    always, *others = {1: _ONE, 2: _TWO, 3: _THREE}[count]
    drawn = Random(f"{scene.key} words").sample(others, CAPTIONS - 1)
    if count > 1 and len({thing.kind for thing in scene.things}) == 1:
        drawn[-1] = _EQUAL
    words = _WORDS.get(scene.place, {"at": _AT.get(scene.place, "")})
    return [
        template.format(
            *(_Phrase(thing) for thing in scene.things), **words, place=scene.place, count=COUNT_WORDS[count]
        )
        for template in (always, *drawn)
    ]


def names_all_things(caption: str, scene: Scene) -> bool:
    """Whether the caption names each thing's colour and shape, equal ones as often as there are, and nothing else.

    >>> from captioner.data.scenes import Scene, Thing
    >>> circle = Thing("circle", "red", "small", 30, 48, 9, 0)
    >>> names_all_things("Two red circles in a row.", Scene((circle, circle), "row", "plain", ""))
    True
    """
    words = " ".join(re.findall(r"[a-z]+", caption.lower()))
    named: Counter[tuple[str, str]] = Counter()
    for number, colour, shape in _MENTION.findall(words):
        named[colour, _SINGULARS.get(shape, shape)] += NUMBERS[number]
    # A colour or a shape that is no part of a mention says something that no count can answer for.
    stray = len(_LOOK.findall(words)) != 2 * len(_MENTION.findall(words))
    return not stray and named == Counter((thing.colour, thing.shape) for thing in scene.things)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
