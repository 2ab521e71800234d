"""Rendering of scenes: objects in saturated colours on muted backgrounds."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from captioner.data.datasets.shapes.scene import COLOURS, SIDE, Scene, SceneObject

SUPERSAMPLING = 4  # canvas pixels per image pixel and side; averaging them smooths edges
Points = list[tuple[float, float]]


def render_scene(scene: Scene) -> np.ndarray:
    """Return the scene as RGB pixels: uint8 [96, 96, 3]."""
    random = Random(f"{scene.key} paint")
    background = Image.fromarray(_render_background(random, scene.background))
    canvas = background.resize((SIDE * SUPERSAMPLING,) * 2, Image.Resampling.NEAREST)
    for obj in scene.objects:
        colour = tuple(min(255, max(0, part + random.randint(-10, 10))) for part in COLOURS[obj.colour])
        canvas.paste(colour, mask=_render_mask(obj))
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def bounding_box(obj: SceneObject) -> tuple[int, int, int, int]:
    """Return the smallest box around an object in pixels: left, top, right, bottom; the last two are exclusive."""
    left, top, right, bottom = _render_mask(obj).getbbox() or (0, 0, 0, 0)
    return left // SUPERSAMPLING, top // SUPERSAMPLING, -(-right // SUPERSAMPLING), -(-bottom // SUPERSAMPLING)


def pixel_area(obj: SceneObject) -> int:
    """Return the number of pixels that an object covers."""
    return int(np.asarray(_render_mask(obj)).sum()) // SUPERSAMPLING**2


def _render_background(random: Random, kind: str) -> np.ndarray:
    """Return a greyish background, darker than white objects and brighter than black ones: uint8 [96, 96, 3]."""
    grey = random.uniform(115, 175)
    first_3 = np.array([grey + random.uniform(-14, 14) for _ in range(3)])
    second_3 = first_3 + random.choice((-1, 1)) * random.uniform(14, 26)
    y_SxS, x_SxS = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    angle = random.uniform(0, 2 * math.pi)
    distance_SxS = x_SxS * math.cos(angle) + y_SxS * math.sin(angle)
    if kind == "plain":
        share_SxS = np.zeros((SIDE, SIDE))
    elif kind == "gradient":
        share_SxS = (distance_SxS - distance_SxS.min()) / np.ptp(distance_SxS)
    elif kind == "stripes":
        share_SxS = (distance_SxS * random.uniform(5, 10) % 1 < 0.5).astype(float)
    else:
        cell = SIDE // random.choice((24, 32, 48))
        noise = np.array([[random.random() for _ in range(SIDE // cell)] for _ in range(SIDE // cell)])
        share_SxS = np.kron(noise, np.ones((cell, cell)))
    mixed_SxSx3 = first_3 + share_SxS[..., None] * (second_3 - first_3)
    pixels_SxSx3: np.ndarray = mixed_SxSx3.round().clip(70, 215).astype(np.uint8)
    return pixels_SxSx3


def _render_mask(obj: SceneObject) -> Image.Image:
    """Return the canvas pixels that an object covers, as an image of one bit."""
    mask = Image.new("1", (SIDE * SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(mask)
    if obj.shape in ("circle", "ring"):
        draw.ellipse(_circle_box(obj, 0.95), fill=1)
        if obj.shape == "ring":
            draw.ellipse(_circle_box(obj, 0.52), fill=0)
    else:
        draw.polygon(_transform(_OUTLINES[obj.shape], obj), fill=1)
    return mask


def _circle_box(obj: SceneObject, share: float) -> tuple[float, float, float, float]:
    """Return the box of a circle with this share of the object's radius, in canvas pixels."""
    x, y, radius = obj.x * SUPERSAMPLING, obj.y * SUPERSAMPLING, obj.radius * SUPERSAMPLING * share
    return x - radius, y - radius, x + radius, y + radius


def _transform(outline: Points, obj: SceneObject) -> Points:
    """Scale an outline by the object's radius, rotate it, and move it to the object's centre, in canvas pixels."""
    angle = math.radians(obj.angle)
    cos, sin = math.cos(angle) * obj.radius * SUPERSAMPLING, math.sin(angle) * obj.radius * SUPERSAMPLING
    centre_x, centre_y = obj.x * SUPERSAMPLING, obj.y * SUPERSAMPLING
    return [(centre_x + x * cos - y * sin, centre_y + x * sin + y * cos) for x, y in outline]


def _radial_outline(radii: list[float]) -> Points:
    """Return corners with these radii at equal angles, clockwise from the top."""
    angles = [2 * math.pi * number / len(radii) for number in range(len(radii))]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _heart_outline() -> Points:
    """Return 48 corners of the heart curve (https://mathworld.wolfram.com/HeartCurve.html)."""
    angles = [2 * math.pi * number / 48 for number in range(48)]
    return [
        (
            math.sin(angle) ** 3,
            -(13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle) - math.cos(4 * angle)) / 16
            - 0.1,
        )
        for angle in angles
    ]


# Outlines in units of the object's radius.
_OUTLINES: dict[str, Points] = {
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": [(0, -0.95), (1.0, 0.8), (-1.0, 0.8)],
    "diamond": [(0, -1.05), (0.8, 0), (0, 1.05), (-0.8, 0)],
    "star": _radial_outline([1.05, 0.45] * 5),
    "cross": [
        *[(-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33)],
        *[(0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)],
    ],
    "heart": _heart_outline(),
}
