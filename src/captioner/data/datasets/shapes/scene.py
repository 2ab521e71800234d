"""Scenes of one to three coloured shapes. A seed and an index decide a scene completely."""

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
GAP = 4.0  # smallest number of pixels between two shapes
LINE_JITTER = 5.0  # largest distance in pixels of a centre from the line of a row or column
CENTRE_JITTER = 0.12  # half of the range in which a single centre lies at its place, as a share of the free space
DUPLICATE_RATE = 0.2  # share of scenes of several objects in which at least two are equal


@dataclass(frozen=True)
class SceneObject:
    """A coloured shape.

    Attributes:
        shape: one of ``SHAPES``.
        colour: a key of ``COLOURS``.
        size: a key of ``RADII``.
        x: pixels from the left border to the centre.
        y: pixels from the upper border to the centre.
        radius: pixels.
        angle: degrees, clockwise.
    """

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def attributes(self) -> tuple[str, str, str]:
        """The attributes that captions name: (size, colour, shape)."""
        return self.size, self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """Objects on a background. Equal objects are neighbours; objects of equal colour and shape have equal sizes.

    Attributes:
        objects: in the order of the captions, from left to right in a row, from top to bottom in a column.
        place: a key of ``PLACES`` for a single object; one of ``LAYOUTS`` for several.
        background: one of ``BACKGROUNDS``.
        key: the seed of the random choices in pixels and captions.
    """

    objects: tuple[SceneObject, ...]
    place: str
    background: str
    key: str


def sample_scene(seed: int, index: int) -> Scene:
    """Return the scene with this index in the dataset of this seed."""
    key = f"{seed}-{index}"
    random = Random(key)
    count = random.choices((1, 2, 3), (20, 45, 35))[0]
    attributes = _sample_attributes(random, count)
    radii = [random.uniform(*RADII[size]) for size, _, _ in attributes]
    if count == 1:
        place = random.choice(tuple(PLACES))
        centres = [_sample_centre(random, place, radii[0])]
    else:
        place = random.choice(LAYOUTS)
        centres = _sample_row(random, radii)
        if place == "column":
            centres = [(y, x) for x, y in centres]
    objects = tuple(
        SceneObject(shape, colour, size, x, y, radius, random.uniform(-8, 8))
        for (size, colour, shape), radius, (x, y) in zip(attributes, radii, centres, strict=True)
    )
    return Scene(objects, place, random.choice(BACKGROUNDS), key)


def _sample_attributes(random: Random, count: int) -> list[tuple[str, str, str]]:
    """Return (size, colour, shape) of each object. Objects that are not duplicates differ in colour or shape."""
    pairs = random.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], count)
    attributes = [(random.choice(tuple(RADII)), *pair) for pair in pairs]
    if count > 1 and random.random() < DUPLICATE_RATE:
        first = random.randrange(count - 1)
        attributes[first + 1] = attributes[first]
        if count == 3 and random.random() < 1 / 3:
            attributes = [attributes[first]] * count
    return attributes


def _sample_centre(random: Random, place: str, radius: float) -> tuple[float, float]:
    """Return the centre (x, y) of a single object, in pixels. Its place stays recognisable."""
    free = SIDE - 2 * (MARGIN + radius)
    x, y = (MARGIN + radius + free * share for share in PLACES[place])
    jitter = CENTRE_JITTER * free
    inwards = (0.5 - PLACES[place][0]) * 2, (0.5 - PLACES[place][1]) * 2
    return (
        x + jitter * (inwards[0] + random.uniform(-1, 1)),
        y + jitter * (inwards[1] + random.uniform(-1, 1)),
    )


def _sample_row(random: Random, radii: list[float]) -> list[tuple[float, float]]:
    """Return centres (x, y) from left to right at similar heights, in pixels. The objects do not touch."""
    free = SIDE - 2 * MARGIN - 2 * sum(radii) - GAP * (len(radii) - 1)
    offsets = sorted(random.uniform(0, free) for _ in radii)
    edge = MARGIN + max(radii) + LINE_JITTER
    height = random.uniform(edge, SIDE - edge)
    centres = []
    start = MARGIN
    for radius, offset in zip(radii, offsets, strict=True):
        centres.append((start + offset + radius, height + random.uniform(-LINE_JITTER, LINE_JITTER)))
        start += 2 * radius + GAP
    return centres
