"""The network that was trained, as a picture and in words: both say what its ``config.json`` says."""

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

from captioner import config
from captioner.score.figures import BLUE, GREY, INK, RED, save

# Inches. Rows: what comes from the picture, what joins both, what comes from the words.
_COLUMNS, _TOP, _MIDDLE, _LOW = (0.42, 1.66, 3.4, 5.14, 6.88, 8.62), 4.08, 2.7, 1.32
_WIDTH, _HEIGHT, _TIED = 9.6, 4.6, 0.42
_PATHS = ["picture cnn project attention context norm to_output output next", "previous embedding gru norm"]
_PATHS += ["fork query attention", "first_state gru"]
_TEXTS = {
    ("project", "attention"): "keys",
    ("attention", "norm"): "context",
    ("gru", "norm"): "state",
    ("project", "first_state"): "mean",
}


@dataclass(frozen=True)
class Box:
    """A layer with its name, its kind and the width of what it gives, or a word at the network's ends."""

    column: int
    y: float
    color: str
    name: str
    kind: str = ""
    width: str = ""

    def edge(self, right: int, up: int) -> tuple[float, float]:
        """The middle of an edge: (1, 0) is the right one, (0, -1) the lower one."""
        half = (0.66, 0.42) if self.kind else (0.34, 0.12) if self.name else (0, 0)
        return _COLUMNS[self.column] + right * half[0], self.y + up * half[1]


def layers(shape: dict[str, Any]) -> dict[str, Box]:
    """The layers by their names in the network, and the ``cnn`` before it; none that only hands on.

    Args:
        shape: what the model's ``config.json`` holds: positions, channels, vocab_size and the parameters of ``model``.
    """
    model = config.Model.model_validate(shape["model"])
    attention, embedding, units = (f"{n:,}" for n in (model.attention_dim, model.embedding_dim, model.units))
    positions, words = shape["positions"], f"{shape['vocab_size']:,} words"
    luong, tied, image = model.attention == "luong", model.tie_embeddings, model.initial_state == "image"
    state = (BLUE, "first state", "Dense, tanh") if image else (GREY, "first state", "zeros")
    matrix, narrowed = "tied" if tied else "Dense", tied and units != embedding
    found = {
        "cnn": Box(1, _TOP, GREY, "CNN", "frozen", f"{positions} × {shape['channels']:,}"),
        "project": Box(2, _TOP, BLUE, "project", "Dense, relu", f"{positions} × {attention}"),
        "first_state": Box(2, _MIDDLE, *state, units),
        "embedding": Box(1, _LOW, RED, "embedding", f"of {words}", embedding),
        "gru": Box(2, _LOW, RED, "GRU", "recurrent", units),
        "query": Box(3, _MIDDLE, RED, "query", "Dense", attention),
        "attention": Box(3, _TOP, BLUE, "attention", "Luong" if luong else "Bahdanau", attention),
        "context": Box(4, _TOP, BLUE, "context", "Dense", units),
        "norm": Box(4, _LOW, RED, "layer norm", "state + context", units),
        "to_output": Box(5, _LOW, RED, "to output", "Dense", embedding),
        "output": Box(5, _MIDDLE if narrowed else _LOW, RED, "output", f"{matrix}, softmax", words),
    }
    needless = {"query": luong and units == attention, "context": units == attention, "to_output": not narrowed}
    return {name: box for name, box in found.items() if not needless.get(name)}


def model_in_words(shape: dict[str, Any]) -> str:
    """What `draw_model` draws of ``shape``, for who cannot see it."""
    model = shape["model"]
    of = {name: f"{box.name} ({box.kind}, {box.width})" for name, box in layers(shape).items()}
    query, context = (f" through {of[name]}" if name in of else "" for name in ("query", "context"))
    mean = " of the projected mean" if model["initial_state"] == "image" else ""
    to_output = f"{of['to_output']} and " if "to_output" in of else ""
    tied = ", whose matrix is the embedding’s" if model["tie_embeddings"] else ""
    return (
        f"Diagram of the network. The picture goes through {of['cnn']} and {of['project']} to {of['attention']}. "
        f"The previous word goes through {of['embedding']} to {of['gru']}. It begins with {of['first_state']}{mean}. "
        f"Its state asks the attention{query}; the context comes back{context} and joins the state in {of['norm']}. "
        f"The next word comes from that through {to_output}{of['output']}{tied}."
    ) + (f" Dropout {model['dropout']:g}." if model["dropout"] else "")


def draw_model(shape: dict[str, Any], path: Path) -> None:
    """Draws the network of ``shape`` (as for `layers`) into a PNG file."""
    found, model = layers(shape), shape["model"]
    bottom = 0 if model["dropout"] else 0.3 if model["tie_embeddings"] else 0.55
    figure = Figure(figsize=(_WIDTH, _HEIGHT - bottom))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(bottom, _HEIGHT))
    axes.axis("off")
    ends = {"picture": Box(0, _TOP, INK, "picture"), "previous": Box(0, _LOW, INK, "previous\nword")}
    ends |= {"fork": Box(3, _LOW, INK, ""), "next": Box(5, found["output"].y + 1.06, INK, "next word")}
    boxes = found | ends
    for box in boxes.values():
        _draw_box(axes, box)
    axes.plot(*boxes["fork"].edge(0, 0), "o", color=INK, markersize=4)
    for steps in [*_PATHS, *["project first_state"] * (model["initial_state"] == "image")]:
        for names in pairwise(name for name in steps.split() if name in boxes):
            before, after = (boxes[name] for name in names)
            _draw_arrow(axes, _way(before, after), _TEXTS.get(names, ""))
    x, y = found["gru"].edge(0, -1)
    _draw_arrow(axes, [(x + 0.2, y), (x + 0.2, y - 0.2), (x - 0.2, y - 0.2), (x - 0.2, y)])
    if model["tie_embeddings"]:
        _draw_tie(axes, found["embedding"], found["output"])
    if model["dropout"]:
        note = f"dropout {model['dropout']:g}: projected features, words, before the output"
        axes.text(*found["embedding"].edge(-1, 0)[:1], 0.1, note, fontsize=9.5, color=GREY)
    save(figure, path, dpi=200)


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


def _way(before: Box, after: Box) -> list[tuple[float, float]]:
    """Level, upright, or level and then upright."""
    if before.y == after.y:
        return [before.edge(1, 0), after.edge(-1, 0)]
    up = 1 if after.y > before.y else -1
    if before.column == after.column:
        return [before.edge(0, up), after.edge(0, -up)]
    return [before.edge(1, 0), (after.edge(0, 0)[0], before.y), after.edge(0, -up)]


def _draw_arrow(axes: Axes, points: list[tuple[float, float]], text: str = "") -> None:
    """An arrow, with a text above its level beginning or beside its upright one."""
    head, way = "-|>,head_length=5,head_width=2.5", Line(points)
    axes.add_patch(FancyArrowPatch(path=way, arrowstyle=head, mutation_scale=1, color=INK, lw=1.1, joinstyle="miter"))
    (x, y), (_, end) = points[:2]
    axes.text(x + 0.07, y + 0.08 if y == end else (y + end) / 2 - 0.04, text, fontsize=9.5, color=GREY)


def _draw_tie(axes: Axes, embedding: Box, output: Box) -> None:
    """A line without a head: what the two share, not what flows."""
    x, y = embedding.edge(0, -1)
    below = output.edge(0, -1) if output.y == _LOW else output.edge(1, 0)
    right = below[0] if output.y == _LOW else below[0] + 0.16
    axes.plot([x, x, right, right, below[0]], [y, _TIED, _TIED, below[1], below[1]], color=GREY, lw=1.1, dashes=(4, 3))
    axes.text((x + right) / 2, _TIED + 0.06, "the same matrix", fontsize=9.5, color=GREY, ha="center")
