"""The figures of a sweep: the objective by each dimension, and a heat map of the first two."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from captioner.score.report.figures import save_figure
from captioner.sweep.table import SettingRow


def draw_sweep(rows: list[SettingRow], objective: str, path: Path) -> None:
    """Write a PNG with one panel per dimension and, for two or more dimensions, a heat map of the first two."""
    keys = list(rows[0].values)
    panels = len(keys) + (len(keys) > 1)
    figure = Figure(figsize=(4.2 * panels, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)
    for axis, key in zip(axes[0], keys, strict=False):
        _draw_dimension(axis, rows, key, objective)
    if len(keys) > 1:
        _draw_heat_map(axes[0][-1], rows, keys[0], keys[1], objective)
    save_figure(figure, path, dpi=120)


def _draw_dimension(axis: Axes, rows: list[SettingRow], key: str, objective: str) -> None:
    """Draw each row as a marker with its standard deviation, and a line through the means of each value."""
    values = _sorted_values(rows, key)
    for row in rows:
        x, y, spread = values.index(row.values[key]), row.mean(objective), row.spread(objective)
        error = None if math.isnan(spread) else spread
        axis.errorbar(x, y, yerr=error, fmt="o", color="tab:blue", alpha=0.6, capsize=3)
    means = [statistics.fmean(row.mean(objective) for row in rows if row.values[key] == value) for value in values]
    axis.plot(range(len(values)), means, color="tab:orange", label="mean")
    axis.set_xticks(range(len(values)), [str(value) for value in values])
    axis.set(xlabel=key, ylabel=objective)
    axis.legend()


def _draw_heat_map(axis: Axes, rows: list[SettingRow], y_key: str, x_key: str, objective: str) -> None:
    """Draw the mean objective of all rows that share a value of ``y_key`` and a value of ``x_key``."""
    y_values, x_values = _sorted_values(rows, y_key), _sorted_values(rows, x_key)
    cells: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        cell = y_values.index(row.values[y_key]), x_values.index(row.values[x_key])
        cells.setdefault(cell, []).append(row.mean(objective))
    means_YxX = np.full((len(y_values), len(x_values)), np.nan)
    for cell, scores in cells.items():
        means_YxX[cell] = statistics.fmean(scores)
    axis.imshow(means_YxX, aspect="auto", cmap="viridis")
    middle = (np.nanmin(means_YxX) + np.nanmax(means_YxX)) / 2
    for y, x in cells:
        colour = "black" if means_YxX[y, x] > middle else "white"  # the upper half of viridis is light
        axis.text(x, y, f"{means_YxX[y, x]:.3f}", ha="center", va="center", color=colour)
    axis.set_xticks(range(len(x_values)), [str(value) for value in x_values])
    axis.set_yticks(range(len(y_values)), [str(value) for value in y_values])
    axis.set(xlabel=x_key, ylabel=y_key, title=objective)


def _sorted_values(rows: list[SettingRow], key: str) -> list[Any]:
    """Return the distinct values of a dimension: numbers in ascending order, then other values by name."""
    by_name = {str(row.values[key]): row.values[key] for row in rows}
    numbers = sorted(value for value in by_name.values() if isinstance(value, int | float))
    return numbers + [by_name[name] for name in sorted(by_name) if not isinstance(by_name[name], int | float)]
