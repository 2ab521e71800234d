"""Loss curves, the sheet of captioned images, and attention maps, as PNG files. Equal content gives equal bytes."""

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

RgbImage = NDArray[np.uint8]

INK, GREY = "#1b1f24", "#6a737d"
BLUE, RED = "#2f6fa7", "#c8553d"  # training and validation curves; image and word layers of the diagram
_DPI = 100
_TRUNCATION: Any = {"max_lines": 10, "placeholder": " …"}  # per caption on the sheet
# Inches.
_IMAGE_SIDE, _GAP = 2.9, 0.22  # on the sheet
_LINE_HEIGHT = 0.16
_PANEL_SIDE, _TITLE_HEIGHT = 1.8, 0.32  # of an attention map


def draw_loss_curves(history: dict[str, Any], path: Path) -> None:
    """Draw the training loss by step and epoch, and the validation loss by epoch; mark the best epoch.

    Args:
        history: `epochs` (epoch from 1, loss, val_loss in nats per token), `steps` (step from 1, loss), `best_epoch`.
        path: the PNG file.
    """
    epochs, steps = history["epochs"], history["steps"]
    number = [entry["epoch"] for entry in epochs]
    validation = [entry["val_loss"] for entry in epochs]
    best = history["best_epoch"]
    figure = Figure(figsize=(8, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="loss (nats per token)")
    if steps:
        x = np.array([entry["step"] for entry in steps]) * number[-1] / steps[-1]["step"]
        loss = _compute_running_mean(np.array([entry["loss"] for entry in steps]), 1 + len(steps) // 200)
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
    save_figure(figure, path)


def draw_caption_sheet(images: Sequence[tuple[RgbImage, str, Sequence[str]]], path: Path, columns: int = 4) -> None:
    """Draw a grid of images [S, S, 3], each over its generated caption (bold) and its reference captions."""
    cells = [_wrap_captions(caption, references) for _, caption, references in images]
    starts = range(0, len(cells), columns)
    text_heights = [
        0.1 + _LINE_HEIGHT * max(len(bold) + len(plain) for bold, plain in cells[start : start + columns])
        for start in starts
    ]
    columns = min(columns, len(cells))
    width = columns * (_IMAGE_SIDE + _GAP) + _GAP
    height = sum(text_heights) + len(text_heights) * (_IMAGE_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width, height), dpi=_DPI)
    top = height - _GAP
    for start, text_height in zip(starts, text_heights, strict=True):
        for column, index in enumerate(range(start, min(start + columns, len(cells)))):
            left = _GAP + column * (_IMAGE_SIDE + _GAP)
            _draw_image(figure, images[index][0], left, top, _IMAGE_SIDE)
            _draw_lines(figure, *cells[index], left / width, top - _IMAGE_SIDE - 0.04, height)
        top -= _IMAGE_SIDE + text_height + _GAP
    save_figure(figure, path)


def draw_attention_maps(image_SxSx3: RgbImage, words: Sequence[str], weights_TxP: NDArray[Any], path: Path) -> None:
    """Draw an image, then a panel for each word that shows the attention weights on the image.

    Args:
        image_SxSx3: the image at the size of the CNN's input.
        words: the T words of the caption, in order.
        weights_TxP: attention weights over the P = side * side positions, row by row. Each panel is scaled to its own
            maximum, so uniform attention lights the whole panel.
        path: the PNG file.

    Raises:
        ValueError: the numbers of words and rows differ, or P is not a square number.
    """
    side = math.isqrt(weights_TxP.shape[1])
    if len(words) != len(weights_TxP) or side * side != weights_TxP.shape[1]:
        raise ValueError(f"{len(words)} words and attention of shape {weights_TxP.shape} don't make square maps")
    columns = min(6, 1 + len(words))
    rows = math.ceil((1 + len(words)) / columns)
    panels = [("", image_SxSx3)]
    for word, weights_P in zip(words, weights_TxP, strict=True):
        panels.append((word, _overlay_attention(image_SxSx3, weights_P.reshape(side, side))))
    width, height = columns * (_PANEL_SIDE + 0.08), rows * (_PANEL_SIDE + _TITLE_HEIGHT)
    figure = Figure(figsize=(width, height), dpi=_DPI)
    for number, (word, panel_SxSx3) in enumerate(panels):
        row, column = divmod(number, columns)
        left = column * (_PANEL_SIDE + 0.08) + 0.04
        top = height - row * (_PANEL_SIDE + _TITLE_HEIGHT) - _TITLE_HEIGHT + 0.04
        _draw_image(figure, panel_SxSx3, left, top, _PANEL_SIDE)
        title = word if len(word) <= 20 else word[:19] + "…"
        x, y = (left + _PANEL_SIDE / 2) / width, (top + 0.07) / height
        figure.text(x, y, title, fontsize=11, color=INK, ha="center", parse_math=False)
    save_figure(figure, path)


def join_punctuation(caption: str) -> str:
    """Return the caption without spaces before punctuation marks, which some datasets have."""
    return re.sub(r"\s+(?=[.,;:!?](\s|$))", "", caption).strip()


def save_figure(figure: Figure, path: Path, dpi: int = _DPI) -> None:
    """Write a PNG file without metadata such as a version, so that equal figures give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor="white", metadata={"Software": None})


def _overlay_attention(image_SxSx3: RgbImage, weights_HxH: NDArray[Any]) -> RgbImage:
    """Return the image in dark grey, with its colours and a warm tint in proportion to the weights."""
    size = image_SxSx3.shape[1::-1]
    share_HxH = (weights_HxH / max(float(weights_HxH.max()), 1e-9)).astype(np.float32)
    share = np.asarray(Image.fromarray(share_HxH).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    color = image_SxSx3 / 255
    grey = 0.1 + 0.35 * color.mean(axis=2, keepdims=True)
    tint = matplotlib.colormaps["inferno"](0.3 + 0.6 * share[..., 0])[..., :3]
    blended = (1 - share) * grey + share * (0.7 * color + 0.4 * tint).clip(0, 1)
    return np.asarray((255 * blended).round(), dtype=np.uint8)


def _compute_running_mean(values: NDArray[Any], window: int) -> NDArray[Any]:
    """Return the means over the last ``window`` values; at the start, over the values so far."""
    sums = np.cumsum(np.concatenate([np.zeros(1), values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[Any] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _wrap_captions(caption: str, references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the generated caption and the references, wrapped to the width of an image on the sheet."""
    plain = [
        line
        for reference in references
        for line in textwrap.wrap(
            join_punctuation(reference), 42, initial_indent="· ", subsequent_indent="  ", **_TRUNCATION
        )
    ]
    return textwrap.wrap(join_punctuation(caption), 34, **_TRUNCATION) or ["(no words)"], plain


def _draw_lines(figure: Figure, bold: list[str], plain: list[str], x: float, top: float, height: float) -> None:
    """Draw lines of text downwards from ``top`` inches, each as one text: matplotlib's line spacing varies."""
    for number, line in enumerate(bold + plain, start=1):
        weight, color = ("bold", INK) if number <= len(bold) else ("normal", GREY)
        y = (top - number * _LINE_HEIGHT) / height
        figure.text(x, y, line, fontsize=8.5, fontweight=weight, color=color, parse_math=False)


def _draw_image(figure: Figure, image_SxSx3: RgbImage, left: float, top: float, side: float) -> None:
    """Draw an image with its upper left corner at (left, top), in inches; separate axes would be far slower."""
    pixels = round(side * _DPI)
    resized = np.asarray(Image.fromarray(image_SxSx3).resize((pixels, pixels), Image.Resampling.BICUBIC))
    figure.figimage(resized, round(left * _DPI), round(top * _DPI) - pixels, origin="upper")
