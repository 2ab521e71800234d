"""Template captions of scenes, and the check of captions against scenes."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

from captioner.data.datasets.shapes.scene import COLOURS, SHAPES, Scene, SceneObject

COUNTS = {"a": 1, "an": 1, "one": 1, "another": 1, "two": 2, "three": 3}
COUNT_WORDS = {1: "one", 2: "two", 3: "three"}
PLURALS = {shape: {"cross": "crosses"}.get(shape, f"{shape}s") for shape in SHAPES}
CAPTIONS_PER_SCENE = 5  # as in COCO

# Words of the templates: the place of a single object, and the relations in each layout.
_PLACE_WORDS = {
    **{"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"},
    "middle": "in the middle",
}
_LAYOUT_WORDS = {
    "row": {"before": "to the left of", "after": "to the right of", "first": "on the left", "last": "on the right"}
    | {"line": "from left to right"},
    "column": {"before": "above", "after": "below", "first": "at the top", "last": "at the bottom"}
    | {"line": "from top to bottom"},
}
# {0} {1} {2} are the objects with their sizes ("a large red circle"), {0.plain} without them.
# Every scene gets the first template of its list; the other captions are drawn from the rest.
_ONE_OBJECT = (
    "{0} {at}",
    "there is {0} {at}",
    "{0.plain} {at} of the picture",
    "a picture of {0}",
    "{at} there is {0}",
    "only {0}",
    "{0.plain} {at}",
)
_TWO_OBJECTS = (
    "{0} {before} {1}",
    "there is {0} {before} {1}",
    "{0.plain} {before} {1.plain}",
    "{0} {first} and {1} {last}",
    "a picture of {0} and {1}",
    "{count} shapes: {0} and {1}",
    "{1} {after} {0}",
)
_THREE_OBJECTS = (
    "{0}, {1} and {2} {line}",
    "there is {0}, {1} and {2} {line}",
    "{0.plain}, {1.plain} and {2.plain} {line}",
    "{0} {before} {1} and {2}",
    "a picture of {0}, {1} and {2}",
    "{count} shapes: {0}, {1} and {2}",
    "{1.plain} between {0.plain} and {2.plain}",
)
# The last caption of a scene whose objects are all equal.
_EQUAL_OBJECTS = "{count} {0.plural} in a {place}"

_ALTERNATIVES = {
    "count": "|".join(COUNTS),
    "colour": "|".join(COLOURS),
    "shape": "|".join([*PLURALS.values(), *SHAPES]),
}
_MENTION = re.compile(r"\b({count}) (?:small |large )?({colour}) ({shape})\b".format(**_ALTERNATIVES))
_COLOUR_OR_SHAPE = re.compile(r"\b(?:{colour}|{shape})\b".format(**_ALTERNATIVES))
_SINGULARS = {plural: shape for shape, plural in PLURALS.items()}


class _Phrase:
    """The noun phrases of an object; as a format argument it gives the one with size and article."""

    def __init__(self, obj: SceneObject) -> None:
        size, colour, shape = obj.attributes
        self.plain = f"{_article(colour)} {colour} {shape}"
        self.plural = f"{size} {colour} {PLURALS[shape]}"
        self._full = f"{_article(size)} {size} {colour} {shape}"

    def __format__(self, _: str) -> str:
        return self._full


def caption_scene(scene: Scene) -> list[str]:
    """Return five different captions. Each names the colour and the shape of every object."""
    count = len(scene.objects)
    first, *others = {1: _ONE_OBJECT, 2: _TWO_OBJECTS, 3: _THREE_OBJECTS}[count]
    drawn = Random(f"{scene.key} words").sample(others, CAPTIONS_PER_SCENE - 1)
    if count > 1 and len({obj.attributes for obj in scene.objects}) == 1:
        drawn[-1] = _EQUAL_OBJECTS
    words = _LAYOUT_WORDS.get(scene.place, {"at": _PLACE_WORDS.get(scene.place, "")})
    phrases = [_Phrase(obj) for obj in scene.objects]
    return [
        template.format(*phrases, **words, place=scene.place, count=COUNT_WORDS[count]) for template in (first, *drawn)
    ]


def names_all_objects(caption: str, scene: Scene) -> bool:
    """Return whether a caption names the colour and shape of each object, with the right counts, and nothing else.

    >>> from captioner.data.datasets.shapes.scene import Scene, SceneObject
    >>> circle = SceneObject("circle", "red", "small", 30, 48, 9, 0)
    >>> names_all_objects("Two red circles in a row.", Scene((circle, circle), "row", "plain", ""))
    True
    """
    words = " ".join(re.findall(r"[a-z]+", caption.lower()))
    mentions = _MENTION.findall(words)
    named: Counter[tuple[str, str]] = Counter()
    for count, colour, shape in mentions:
        named[colour, _SINGULARS.get(shape, shape)] += COUNTS[count]
    # A colour or a shape outside of the mentions cannot be counted, so the caption is wrong.
    all_counted = len(_COLOUR_OR_SHAPE.findall(words)) == 2 * len(mentions)
    return all_counted and named == Counter((obj.colour, obj.shape) for obj in scene.objects)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
