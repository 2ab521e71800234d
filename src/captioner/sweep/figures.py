"""The figures of a sweep: the metric against each dimension, and a heat map over the first two."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from captioner.sweep.results import Row


def draw(rows: list[Row], objective: str, path: Path) -> None:
    """Writes a PNG with a panel for each dimension, and a heat map where there are two or more."""
    keys = list(rows[0].values)
    panels = len(keys) + (len(keys) > 1)
    figure, axes = plt.subplots(1, panels, figsize=(4.2 * panels, 3.6), squeeze=False, layout="constrained")
    for axis, key in zip(axes[0], keys, strict=False):
        _against(axis, rows, key, objective)
    if len(keys) > 1:
        _heat_map(axes[0][-1], rows, keys[0], keys[1], objective)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _against(axis: Axes, rows: list[Row], key: str, objective: str) -> None:
    """A point for each row with its spread, a line through the means."""
    values = _values(rows, key)
    for row in rows:
        spread = row.spread(objective)
        place = values.index(row.values[key])
        bar = None if math.isnan(spread) else spread
        axis.errorbar(place, row.mean(objective), yerr=bar, fmt="o", color="tab:blue", alpha=0.6, capsize=3)
    means = [statistics.fmean(row.mean(objective) for row in rows if row.values[key] == value) for value in values]
    axis.plot(range(len(values)), means, color="tab:orange", label="mean")
    axis.set_xticks(range(len(values)), [str(value) for value in values])
    axis.set_xlabel(key)
    axis.set_ylabel(objective)
    axis.legend()


def _heat_map(axis: Axes, rows: list[Row], down: str, right: str, objective: str) -> None:
    """The mean over all rows of each cell."""
    downs, rights = _values(rows, down), _values(rows, right)
    cells: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        place = downs.index(row.values[down]), rights.index(row.values[right])
        cells.setdefault(place, []).append(row.mean(objective))
    grid_DxR = np.full((len(downs), len(rights)), np.nan)
    for place, scores in cells.items():
        grid_DxR[place] = statistics.fmean(scores)
    axis.imshow(grid_DxR, aspect="auto", cmap="viridis")
    middle = (np.nanmin(grid_DxR) + np.nanmax(grid_DxR)) / 2
    for d, r in cells:
        colour = "black" if grid_DxR[d, r] > middle else "white"  # the upper half of viridis is light
        axis.text(r, d, f"{grid_DxR[d, r]:.3f}", ha="center", va="center", color=colour)
    axis.set_xticks(range(len(rights)), [str(value) for value in rights])
    axis.set_yticks(range(len(downs)), [str(value) for value in downs])
    axis.set_xlabel(right)
    axis.set_ylabel(down)
    axis.set_title(objective)


def _values(rows: list[Row], key: str) -> list[Any]:
    """The dimension's values, numbers in their order and before anything else."""
    found = {str(row.values[key]): row.values[key] for row in rows}
    numbers = sorted(value for value in found.values() if isinstance(value, int | float))
    return numbers + [found[name] for name in sorted(found) if not isinstance(found[name], int | float)]
