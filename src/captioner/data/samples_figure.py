"""The figure of sample images with their captions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

MAX_COLUMNS, MAX_ROWS = 4, 3
CAPTIONS_PER_IMAGE, CHARACTERS_PER_LINE, LINES_PER_CAPTION = 2, 48, 2
IMAGE_SIDE, TEXT_HEIGHT, GAP = 2.9, 0.8, 0.15  # inches


def draw_samples_figure(images: list[np.ndarray], captions: list[list[str]], path: Path) -> None:
    """Draw up to twelve images (uint8 [S, S, 3]), each with two captions, into a PNG. Equal inputs give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(len(images), MAX_COLUMNS * MAX_ROWS)
    rows, columns = -(-count // MAX_COLUMNS), min(count, MAX_COLUMNS)
    width, height = columns * (IMAGE_SIDE + GAP) + GAP, rows * (IMAGE_SIDE + TEXT_HEIGHT + GAP) + GAP
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    for number, (image, texts) in enumerate(zip(images[:count], captions, strict=False)):
        row, column = divmod(number, MAX_COLUMNS)
        left = GAP + column * (IMAGE_SIDE + GAP)
        bottom = height - (row + 1) * (GAP + IMAGE_SIDE) - row * TEXT_HEIGHT
        axis = figure.add_axes((left / width, bottom / height, IMAGE_SIDE / width, IMAGE_SIDE / height))
        axis.axis("off")
        axis.imshow(image, interpolation="antialiased")
        text = "\n".join(_wrap(text) for text in texts[:CAPTIONS_PER_IMAGE])
        axis.text(0, -0.03, text, transform=axis.transAxes, va="top", fontsize=8, linespacing=1.25, parse_math=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _wrap(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        CHARACTERS_PER_LINE,
        initial_indent="• ",
        subsequent_indent="   ",
        max_lines=LINES_PER_CAPTION,
        placeholder=" …",
    )
