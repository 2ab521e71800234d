"""Loss curves, a sheet of captioned pictures, and attention maps: PNG files, the same bytes for the same content."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

INK, GREY = "#1b1f24", "#6a737d"
BLUE, RED = "#2f6fa7", "#c8553d"  # training and validation; what comes from the picture and from the words
_DPI = 100
_CELL, _GAP = 2.9, 0.22  # inches: a picture on a sheet, and between two
_LINE = 0.16  # inches a line of a caption
_CUT: Any = {"max_lines": 10, "placeholder": " …"}  # a picture has no room for more
_PANEL, _TITLE = 1.8, 0.32  # inches: an attention map, and the word above it


def loss_curves(history: dict[str, Any], path: Path) -> None:
    """Draws the training loss by step and by epoch and the validation loss by epoch, and marks the best epoch.

    Args:
        history: `epochs` (epoch from 1, loss, val_loss in nats a token), `steps` (step from 1, loss), `best_epoch`.
    """
    epochs, steps = history["epochs"], history["steps"]
    number = [entry["epoch"] for entry in epochs]
    validation = [entry["val_loss"] for entry in epochs]
    best = history["best_epoch"]
    figure = Figure(figsize=(8, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="loss (nats a token)")
    if steps:
        x = np.array([entry["step"] for entry in steps]) * number[-1] / steps[-1]["step"]
        loss = _running_mean(np.array([entry["loss"] for entry in steps]), 1 + len(steps) // 200)
        axes.plot(x, loss, color=BLUE, alpha=0.35, linewidth=0.8, label="training, by step")
    axes.plot(number, [entry["loss"] for entry in epochs], color=BLUE, marker="o", markersize=3.5, label="training")
    axes.plot(number, validation, color=RED, marker="o", markersize=3.5, label="validation")
    lowest = validation[number.index(best)]
    axes.axvline(best, color=RED, linestyle=":", linewidth=1)
    label = f"best: {lowest:.3f}, epoch {best}"
    axes.plot([best], [lowest], "o", color=RED, markersize=10, fillstyle="none", linestyle="none", label=label)
    axes.set_xlim(0, number[-1] * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e1e4e8", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, path)


def caption_sheet(pictures: Sequence[tuple[Picture, str, Sequence[str]]], path: Path, columns: int = 4) -> None:
    """Draws pictures [S, S, 3], each with its generated caption (bold) and its true ones beneath."""
    cells = [_caption_lines(caption, references) for _, caption, references in pictures]
    starts = range(0, len(cells), columns)
    text_heights = [0.1 + _LINE * max(len(bold) + len(plain) for bold, plain in cells[i : i + columns]) for i in starts]
    columns = min(columns, len(cells))
    width = columns * (_CELL + _GAP) + _GAP
    height = sum(text_heights) + len(text_heights) * (_CELL + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=_DPI)
    top = height - _GAP
    for start, text_height in zip(starts, text_heights, strict=True):
        for column, index in enumerate(range(start, min(start + columns, len(cells)))):
            left = _GAP + column * (_CELL + _GAP)
            _place(figure, pictures[index][0], left, top, _CELL)
            _write_lines(figure, *cells[index], left / width, top - _CELL - 0.04, height)
        top -= _CELL + text_height + _GAP
    save(figure, path)


def attention_maps(picture_SxSx3: Picture, words: Sequence[str], weights_TxP: NDArray[Any], path: Path) -> None:
    """Draws a picture, then for each word where the network looked when it wrote it.

    Args:
        picture_SxSx3: the picture as the CNN saw it.
        words: the T words of the caption, in order.
        weights_TxP: attention over the P = side * side positions, row major, rows in the order of `words`. Each panel
            goes from zero to its own maximum, so that even attention lights the whole panel.

    Raises:
        ValueError: words and rows differ in number, or the positions make no square.
    """
    side = math.isqrt(weights_TxP.shape[1])
    if len(words) != len(weights_TxP) or side * side != weights_TxP.shape[1]:
        raise ValueError(f"{len(words)} words and attention of shape {weights_TxP.shape} don't make square maps")
    columns = min(6, 1 + len(words))
    rows = math.ceil((1 + len(words)) / columns)
    panels = [("", picture_SxSx3)]
    for word, weights_P in zip(words, weights_TxP, strict=True):
        panels.append((word, _lit(picture_SxSx3, weights_P.reshape(side, side))))
    width, height = columns * (_PANEL + 0.08), rows * (_PANEL + _TITLE)
    figure = Figure(figsize=(width, height), dpi=_DPI)
    for number, (word, panel_SxSx3) in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = column * (_PANEL + 0.08) + 0.04, height - row * (_PANEL + _TITLE) - _TITLE + 0.04
        _place(figure, panel_SxSx3, left, top, _PANEL)
        title = word if len(word) <= 20 else word[:19] + "…"
        x, y = (left + _PANEL / 2) / width, (top + 0.07) / height
        figure.text(x, y, title, fontsize=11, color=INK, ha="center", parse_math=False)
    save(figure, path)


def _lit(picture_SxSx3: Picture, weights_HxH: NDArray[Any]) -> Picture:
    """The picture in dim grey, with its own colours and a warm glow where the weights are."""
    size = picture_SxSx3.shape[1::-1]
    share_HxH = (weights_HxH / max(float(weights_HxH.max()), 1e-9)).astype(np.float32)
    share = np.asarray(Image.fromarray(share_HxH).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    color = picture_SxSx3 / 255
    grey = 0.1 + 0.35 * color.mean(axis=2, keepdims=True)
    glow = matplotlib.colormaps["inferno"](0.3 + 0.6 * share[..., 0])[..., :3]
    lit = (1 - share) * grey + share * (0.7 * color + 0.4 * glow).clip(0, 1)
    return np.asarray((255 * lit).round(), dtype=np.uint8)


def _running_mean(values: NDArray[Any], window: int) -> NDArray[Any]:
    """Means over the last `window` values, over fewer at the start."""
    sums = np.cumsum(np.concatenate([np.zeros(1), values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[Any] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _caption_lines(caption: str, references: Sequence[str]) -> tuple[list[str], list[str]]:
    """The generated caption and the true ones as lines that fit under a picture on a sheet."""
    plain = [
        line
        for reference in references
        for line in textwrap.wrap(closed_up(reference), 42, initial_indent="· ", subsequent_indent="  ", **_CUT)
    ]
    return textwrap.wrap(closed_up(caption), 34, **_CUT) or ["(no words)"], plain


def closed_up(caption: str) -> str:
    """The caption for the eye: no space before a full stop or a comma, as some datasets have it."""
    return re.sub(r"\s+(?=[.,;:!?](\s|$))", "", caption).strip()


def _write_lines(figure: Figure, bold: list[str], plain: list[str], x: float, top: float, height: float) -> None:
    """Writes lines from `top` inches downwards, one text each: matplotlib's line distances vary with the letters."""
    for number, line in enumerate(bold + plain, start=1):
        weight, color = ("bold", INK) if number <= len(bold) else ("normal", GREY)
        y = (top - number * _LINE) / height
        figure.text(x, y, line, fontsize=8.5, fontweight=weight, color=color, parse_math=False)


def _place(figure: Figure, picture_SxSx3: Picture, left: float, top: float, side: float) -> None:
    """Puts a picture with its upper left corner at (left, top), in inches; axes for each would take far longer."""
    pixels = round(side * _DPI)
    resized = np.asarray(Image.fromarray(picture_SxSx3).resize((pixels, pixels), Image.Resampling.BICUBIC))
    figure.figimage(resized, round(left * _DPI), round(top * _DPI) - pixels, origin="upper")


def save(figure: Figure, path: Path, dpi: int = _DPI) -> None:
    """Writes a PNG file without a date or a version in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor="white", metadata={"Software": None})
