"""Paints scenes: muted backgrounds, shapes that stand out."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from captioner.data.scenes import COLOURS, SIDE, Scene, Thing

FINE = 4  # pixels are painted so many times finer and averaged, for smooth edges
Points = list[tuple[float, float]]


def render(scene: Scene) -> np.ndarray:
    """The scene as pixels: uint8 [96, 96, 3], RGB."""
    random = Random(f"{scene.key} paint")
    image = Image.fromarray(_background(random, scene.background)).resize((SIDE * FINE,) * 2, Image.Resampling.NEAREST)
    for thing in scene.things:
        colour = tuple(min(255, max(0, part + random.randint(-10, 10))) for part in COLOURS[thing.colour])
        image.paste(colour, mask=_mask(thing))
    return np.asarray(image.reduce(FINE))


def box_of(thing: Thing) -> tuple[int, int, int, int]:
    """The smallest box around the thing: left, top, right, bottom in pixels, the last two exclusive."""
    left, top, right, bottom = _mask(thing).getbbox() or (0, 0, 0, 0)
    return left // FINE, top // FINE, -(-right // FINE), -(-bottom // FINE)


def area_of(thing: Thing) -> int:
    """The pixels that the thing covers."""
    return int(np.asarray(_mask(thing)).sum()) // FINE**2


def _background(random: Random, kind: str) -> np.ndarray:
    """uint8 [96, 96, 3]: grey with a touch of colour, neither as bright as white nor as dark as black."""
    grey = random.uniform(115, 175)
    first_3 = np.array([grey + random.uniform(-14, 14) for _ in range(3)])
    second_3 = first_3 + random.choice((-1, 1)) * random.uniform(14, 26)
    down_SxS, right_SxS = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    angle = random.uniform(0, 2 * math.pi)
    along_SxS = right_SxS * math.cos(angle) + down_SxS * math.sin(angle)
    if kind == "plain":
        share_SxS = np.zeros((SIDE, SIDE))
    elif kind == "gradient":
        share_SxS = (along_SxS - along_SxS.min()) / np.ptp(along_SxS)
    elif kind == "stripes":
        share_SxS = (along_SxS * random.uniform(5, 10) % 1 < 0.5).astype(float)
    else:
        grain = SIDE // random.choice((24, 32, 48))
        coarse = np.array([[random.random() for _ in range(SIDE // grain)] for _ in range(SIDE // grain)])
        share_SxS = np.kron(coarse, np.ones((grain, grain)))
    pixels_SxSx3 = first_3 + share_SxS[..., None] * (second_3 - first_3)
    painted_SxSx3: np.ndarray = pixels_SxSx3.round().clip(70, 215).astype(np.uint8)
    return painted_SxSx3


def _mask(thing: Thing) -> Image.Image:
    """Where the thing is, on the fine canvas."""
    mask = Image.new("1", (SIDE * FINE,) * 2)
    draw = ImageDraw.Draw(mask)
    if thing.shape in ("circle", "ring"):
        draw.ellipse(_round_box(thing, 0.95), fill=1)
        if thing.shape == "ring":
            draw.ellipse(_round_box(thing, 0.52), fill=0)
    else:
        draw.polygon(_placed(_OUTLINES[thing.shape], thing), fill=1)
    return mask


def _round_box(thing: Thing, share: float) -> tuple[float, float, float, float]:
    x, y, radius = thing.x * FINE, thing.y * FINE, thing.radius * FINE * share
    return x - radius, y - radius, x + radius, y + radius


def _placed(outline: Points, thing: Thing) -> Points:
    """An outline in units of the radius, turned and moved to where the thing is."""
    turn = math.radians(thing.angle)
    cos, sin = math.cos(turn) * thing.radius * FINE, math.sin(turn) * thing.radius * FINE
    return [(thing.x * FINE + x * cos - y * sin, thing.y * FINE + x * sin + y * cos) for x, y in outline]


def _spokes(radii: list[float]) -> Points:
    """Corners at equal angles, clockwise from the top."""
    angles = [2 * math.pi * number / len(radii) for number in range(len(radii))]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _heart() -> Points:
    turns = [2 * math.pi * number / 48 for number in range(48)]
    return [
        (
            math.sin(turn) ** 3,
            -(13 * math.cos(turn) - 5 * math.cos(2 * turn) - 2 * math.cos(3 * turn) - math.cos(4 * turn)) / 16 - 0.1,
        )
        for turn in turns
    ]


_OUTLINES: dict[str, Points] = {
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": [(0, -0.95), (1.0, 0.8), (-1.0, 0.8)],
    "diamond": [(0, -1.05), (0.8, 0), (0, 1.05), (-0.8, 0)],
    "star": _spokes([1.05, 0.45] * 5),
    "cross": [
        *[(-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33)],
        *[(0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)],
    ],
    "heart": _heart(),
}
