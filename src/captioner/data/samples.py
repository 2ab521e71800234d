"""Draws pictures with their captions. Needs no tensorflow."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

COLUMNS, ROWS = 4, 3
CAPTIONS, LETTERS, LINES = 2, 48, 2  # captions below a picture, letters a line, and lines a caption
PICTURE, TEXT, SPACE = 2.9, 0.8, 0.15  # inches: a picture's side, the height of its captions, and what is between two


def draw_samples(pictures: list[np.ndarray], captions: list[list[str]], path: Path) -> None:
    """Draws up to twelve pictures (uint8 [S, S, 3]) with two of their captions each into a PNG of stable bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(len(pictures), COLUMNS * ROWS)
    rows, columns = -(-count // COLUMNS), min(count, COLUMNS)
    width, height = columns * (PICTURE + SPACE) + SPACE, rows * (PICTURE + TEXT + SPACE) + SPACE
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    for number, (picture, texts) in enumerate(zip(pictures[:count], captions, strict=False)):
        row, column = divmod(number, COLUMNS)
        left = SPACE + column * (PICTURE + SPACE)
        bottom = height - (row + 1) * (SPACE + PICTURE) - row * TEXT
        axis = figure.add_axes((left / width, bottom / height, PICTURE / width, PICTURE / height))
        axis.axis("off")
        axis.imshow(picture, interpolation="antialiased")
        text = "\n".join(_wrapped(text) for text in texts[:CAPTIONS])
        axis.text(0, -0.03, text, transform=axis.transAxes, va="top", fontsize=8, linespacing=1.25, parse_math=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _wrapped(text: str) -> str:
    line = " ".join(text.split())
    return textwrap.fill(line, LETTERS, initial_indent="• ", subsequent_indent="   ", max_lines=LINES, placeholder=" …")
