"""Scenes of one to three coloured shapes, each the same wherever and whenever it is drawn from its seed and index."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

SIDE = 96  # pixels
SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "ring", "heart")
COLOURS = {
    "red": (214, 32, 38),
    "orange": (244, 134, 20),
    "yellow": (250, 224, 52),
    "green": (30, 148, 62),
    "blue": (32, 84, 216),
    "purple": (132, 44, 170),
    "white": (250, 250, 250),
    "black": (18, 18, 20),
}
RADII = {"small": (8.0, 9.0), "large": (12.5, 13.5)}  # pixels, of the circle around a shape
BACKGROUNDS = ("plain", "gradient", "stripes", "noise")
LAYOUTS = ("row", "column")
PLACES = {"left": (0.0, 0.5), "right": (1.0, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0), "middle": (0.5, 0.5)}

MARGIN = 2.0  # pixels between a shape and the border
GAP = 4.0  # pixels between two shapes, at least
LEVEL = 5.0  # pixels that the things of a row are higher or lower than its middle, at most
TWINS = 0.2  # share of scenes of several things in which two or more are the same


@dataclass(frozen=True)
class Thing:
    """A coloured shape with its centre (``x``, ``y``) in pixels from the upper left corner and ``angle`` in degrees."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def kind(self) -> tuple[str, str, str]:
        """What a caption can say of it: (size, colour, shape)."""
        return self.size, self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """Things in the order that captions name them: from left to right in a row, from top to bottom in a column.

    ``place`` is where a lonely thing is (a key of ``PLACES``), or how several are laid out (one of ``LAYOUTS``).
    ``key`` names the scene; what is drawn at random besides (the background, the wording) follows from it.
    Equal things are next to each other, and things of the same colour and shape are of the same size.
    """

    things: tuple[Thing, ...]
    place: str
    background: str
    key: str


def draw_scene(seed: int, index: int) -> Scene:
    """The scene number ``index`` of the dataset that is drawn from ``seed``."""
    key = f"{seed}-{index}"
    random = Random(key)
    count = random.choices((1, 2, 3), (20, 45, 35))[0]
    kinds = _draw_kinds(random, count)
    radii = [random.uniform(*RADII[size]) for size, _, _ in kinds]
    if count == 1:
        place = random.choice(tuple(PLACES))
        centres = [_draw_place(random, place, radii[0])]
    else:
        place = random.choice(LAYOUTS)
        centres = _draw_line(random, radii)
        if place == "column":
            centres = [(y, x) for x, y in centres]
    things = tuple(
        Thing(shape, colour, size, x, y, radius, random.uniform(-8, 8))
        for (size, colour, shape), radius, (x, y) in zip(kinds, radii, centres, strict=True)
    )
    return Scene(things, place, random.choice(BACKGROUNDS), key)


def _draw_kinds(random: Random, count: int) -> list[tuple[str, str, str]]:
    """(size, colour, shape) of each thing; colour and shape differ but between twins."""
    looks = random.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], count)
    kinds = [(random.choice(tuple(RADII)), *look) for look in looks]
    if count > 1 and random.random() < TWINS:
        first = random.randrange(count - 1)
        kinds[first + 1] = kinds[first]
        if count == 3 and random.random() < 1 / 3:
            kinds = [kinds[first]] * count
    return kinds


def _draw_place(random: Random, place: str, radius: float) -> tuple[float, float]:
    """A centre that is clearly at the left, right, top or bottom, or in the middle."""
    free = SIDE - 2 * (MARGIN + radius)
    x, y = (MARGIN + radius + free * share for share in PLACES[place])
    wander = 0.12 * free
    inwards = (0.5 - PLACES[place][0]) * 2, (0.5 - PLACES[place][1]) * 2
    return (
        x + wander * (inwards[0] + random.uniform(-1, 1)),
        y + wander * (inwards[1] + random.uniform(-1, 1)),
    )


def _draw_line(random: Random, radii: list[float]) -> list[tuple[float, float]]:
    """Centres from left to right, roughly at one height: no two things touch, and none is above another."""
    spare = SIDE - 2 * MARGIN - 2 * sum(radii) - GAP * (len(radii) - 1)
    cuts = sorted(random.uniform(0, spare) for _ in radii)
    edge = MARGIN + max(radii) + LEVEL
    height = random.uniform(edge, SIDE - edge)
    centres = []
    start = MARGIN
    for radius, cut in zip(radii, cuts, strict=True):
        centres.append((start + cut + radius, height + random.uniform(-LEVEL, LEVEL)))
        start += 2 * radius + GAP
    return centres
