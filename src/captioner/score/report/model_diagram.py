"""The diagram of the trained network and its description in words, both made from the model's ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Line

from captioner.model.config import ModelConfig
from captioner.score.report.figures import BLUE, GREY, INK, RED, save_figure

# Inches. The top row holds the layers of the image, the bottom row those of the words.
_COLUMNS, _TOP, _MIDDLE, _BOTTOM = (0.42, 1.66, 3.4, 5.14, 6.88, 8.62), 4.08, 2.7, 1.32
_WIDTH, _HEIGHT, _TIE_Y = 9.6, 4.6, 0.42
# The arrows: each path goes from box to box and skips boxes that the network does not have.
_PATHS = ["image cnn project attention context norm to_output output next", "previous embedding gru norm"]
_PATHS += ["fork query attention", "first_state gru"]
_ARROW_LABELS = {
    ("project", "attention"): "keys",
    ("attention", "norm"): "context",
    ("gru", "norm"): "state",
    ("project", "first_state"): "mean",
}


@dataclass(frozen=True)
class Box:
    """A layer with its name, its kind and the width of its output; or, without a kind, an input or output."""

    column: int
    y: float
    color: str
    name: str
    kind: str = ""
    width: str = ""

    def edge(self, right: int, up: int) -> tuple[float, float]:
        """Return the middle of an edge in inches: (1, 0) is the right edge, (0, -1) the lower one."""
        half = (0.66, 0.42) if self.kind else (0.34, 0.12) if self.name else (0, 0)
        return _COLUMNS[self.column] + right * half[0], self.y + up * half[1]


def diagram_boxes(config: dict[str, Any]) -> dict[str, Box]:
    """Return the boxes of the CNN and of the network's layers by layer name, without identity layers.

    Args:
        config: the model's ``config.json``: positions, channels, vocab_size and the parameters of ``model``.
    """
    model = ModelConfig.model_validate(config["model"])
    attention, embedding, units = (f"{n:,}" for n in (model.attention_dim, model.embedding_dim, model.units))
    positions, words = config["positions"], f"{config['vocab_size']:,} words"
    luong, tied, image = model.attention == "luong", model.tie_embeddings, model.initial_state == "image"
    state = (BLUE, "first state", "Dense, tanh") if image else (GREY, "first state", "zeros")
    matrix, narrowed = "tied" if tied else "Dense", tied and units != embedding
    boxes = {
        "cnn": Box(1, _TOP, GREY, "CNN", "frozen", f"{positions} × {config['channels']:,}"),
        "project": Box(2, _TOP, BLUE, "project", "Dense, relu", f"{positions} × {attention}"),
        "first_state": Box(2, _MIDDLE, *state, units),
        "embedding": Box(1, _BOTTOM, RED, "embedding", f"of {words}", embedding),
        "gru": Box(2, _BOTTOM, RED, "GRU", "recurrent", units),
        "query": Box(3, _MIDDLE, RED, "query", "Dense", attention),
        "attention": Box(3, _TOP, BLUE, "attention", "Luong" if luong else "Bahdanau", attention),
        "context": Box(4, _TOP, BLUE, "context", "Dense", units),
        "norm": Box(4, _BOTTOM, RED, "layer norm", "state + context", units),
        "to_output": Box(5, _BOTTOM, RED, "to output", "Dense", embedding),
        "output": Box(5, _MIDDLE if narrowed else _BOTTOM, RED, "output", f"{matrix}, softmax", words),
    }
    is_identity = {"query": luong and units == attention, "context": units == attention, "to_output": not narrowed}
    return {name: box for name, box in boxes.items() if not is_identity.get(name)}


def describe_model(config: dict[str, Any]) -> str:
    """Return the content of the diagram that `draw_model` draws, in words, for readers who cannot see it."""
    model = config["model"]
    texts = {name: f"{box.name} ({box.kind}, {box.width})" for name, box in diagram_boxes(config).items()}
    query, context = (f" through {texts[name]}" if name in texts else "" for name in ("query", "context"))
    mean = ", computed from the mean of the projected features" if model["initial_state"] == "image" else ""
    to_output = f"{texts['to_output']} and " if "to_output" in texts else ""
    tied = ", which uses the embedding’s matrix" if model["tie_embeddings"] else ""
    return (
        f"Diagram of the network. The image passes through {texts['cnn']} and {texts['project']} to "
        f"{texts['attention']}. The previous word passes through {texts['embedding']} to {texts['gru']}, whose "
        f"initial state is {texts['first_state']}{mean}. The state of the GRU is the query of the attention{query}. "
        f"The context vector of the attention is added{context} to the state in {texts['norm']}. The next word is "
        f"computed from the result through {to_output}{texts['output']}{tied}."
    ) + (f" Dropout {model['dropout']:g}." if model["dropout"] else "")


def draw_model(config: dict[str, Any], path: Path) -> None:
    """Draw the network into a PNG file; ``config`` is as for `diagram_boxes`."""
    layers, model = diagram_boxes(config), config["model"]
    bottom = 0 if model["dropout"] else 0.3 if model["tie_embeddings"] else 0.55
    figure = Figure(figsize=(_WIDTH, _HEIGHT - bottom))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(bottom, _HEIGHT))
    axes.axis("off")
    ends = {"image": Box(0, _TOP, INK, "image"), "previous": Box(0, _BOTTOM, INK, "previous\nword")}
    ends |= {"fork": Box(3, _BOTTOM, INK, ""), "next": Box(5, layers["output"].y + 1.06, INK, "next word")}
    boxes = layers | ends
    for box in boxes.values():
        _draw_box(axes, box)
    axes.plot(*boxes["fork"].edge(0, 0), "o", color=INK, markersize=4)
    for steps in [*_PATHS, *["project first_state"] * (model["initial_state"] == "image")]:
        for names in pairwise(name for name in steps.split() if name in boxes):
            start, end = (boxes[name] for name in names)
            _draw_arrow(axes, _route_arrow(start, end), _ARROW_LABELS.get(names, ""))
    x, y = layers["gru"].edge(0, -1)
    _draw_arrow(axes, [(x + 0.2, y), (x + 0.2, y - 0.2), (x - 0.2, y - 0.2), (x - 0.2, y)])
    if model["tie_embeddings"]:
        _draw_tie(axes, layers["embedding"], layers["output"])
    if model["dropout"]:
        note = f"dropout {model['dropout']:g}: projected features, embeddings, input of the output layer"
        axes.text(*layers["embedding"].edge(-1, 0)[:1], 0.1, note, fontsize=9.5, color=GREY)
    save_figure(figure, path, dpi=200)


def _draw_box(axes: Axes, box: Box) -> None:
    x, y = box.edge(0, 0)
    if not box.kind:
        axes.text(x, y, box.name, fontsize=10.5, color=INK, style="italic", ha="center", va="center")
        return
    (left, bottom), (right, top) = box.edge(-1, -1), box.edge(1, 1)
    style, face = "round,pad=0,rounding_size=0.07", to_rgba(box.color, 0.1)
    axes.add_patch(FancyBboxPatch((left, bottom), right - left, top - bottom, style, fc=face, ec=box.color, lw=1.2))
    axes.text(x, y + 0.24, box.name, fontsize=11, fontweight="bold", color=INK, ha="center", va="center_baseline")
    axes.text(x, y, box.kind, fontsize=10, color=GREY, ha="center", va="center_baseline")
    axes.text(x, y - 0.24, box.width, fontsize=10, color=INK, ha="center", va="center_baseline")


def _route_arrow(start: Box, end: Box) -> list[tuple[float, float]]:
    """Return the points of an arrow: one horizontal or vertical line, or a horizontal and then a vertical one."""
    if start.y == end.y:
        return [start.edge(1, 0), end.edge(-1, 0)]
    up = 1 if end.y > start.y else -1
    if start.column == end.column:
        return [start.edge(0, up), end.edge(0, -up)]
    return [start.edge(1, 0), (end.edge(0, 0)[0], start.y), end.edge(0, -up)]


def _draw_arrow(axes: Axes, points: list[tuple[float, float]], label: str = "") -> None:
    """Draw an arrow, with a label over its first line, or to the right of it if that is vertical."""
    head, path = "-|>,head_length=5,head_width=2.5", Line(points)
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle=head, mutation_scale=1, color=INK, lw=1.1, joinstyle="miter"))
    (x, y), (_, end) = points[:2]
    axes.text(x + 0.07, y + 0.08 if y == end else (y + end) / 2 - 0.04, label, fontsize=9.5, color=GREY)


def _draw_tie(axes: Axes, embedding: Box, output: Box) -> None:
    """Draw a dashed line without an arrow head: the two layers share a matrix, and no data flows."""
    x, y = embedding.edge(0, -1)
    corner = output.edge(0, -1) if output.y == _BOTTOM else output.edge(1, 0)
    right = corner[0] if output.y == _BOTTOM else corner[0] + 0.16
    line_x, line_y = [x, x, right, right, corner[0]], [y, _TIE_Y, _TIE_Y, corner[1], corner[1]]
    axes.plot(line_x, line_y, color=GREY, lw=1.1, dashes=(4, 3))
    axes.text((x + right) / 2, _TIE_Y + 0.06, "shared matrix", fontsize=9.5, color=GREY, ha="center")
