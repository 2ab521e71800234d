"""What a sweep ends with: a table, the same as files, figures, and the points under the sweep's run in MLflow."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from captioner.config import UserError
from captioner.sweep.figures import draw
from captioner.sweep.start import Sweep
from captioner.track.runs import PARENT, RUN_HASH, merit
from captioner.track.store import Tracker, first_line, refusals

REPORTS = Path("reports/sweeps")
SHOWN = ("bleu_4", "cider", "val_loss")
# Not a dimension of their own: they follow from others.
DERIVED = ("data.watch", "data.extractor.watch")


@dataclass(frozen=True)
class Row:
    """The points that differ in nothing but the seed.

    Attributes:
        values: of the dimensions, by key.
        scores: of each metric, one for each seed.
        hashes: run hashes, short.
    """

    values: dict[str, Any]
    scores: dict[str, list[float]]
    hashes: list[str]

    def mean(self, metric: str) -> float:
        return statistics.fmean(self.scores[metric])

    def spread(self, metric: str) -> float:
        """The standard deviation over the seeds; NaN where there is one."""
        scores = self.scores[metric]
        return statistics.stdev(scores) if len(scores) > 1 else math.nan


def finish(sweep: Sweep, complete: bool) -> bool:
    """Prints and writes the table and the figures, and logs them to the sweep's run.

    Args:
        sweep: whose points have answered.
        complete: whether all of them have.

    Returns:
        Whether every point has its scores.
    """
    answers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(sweep.folder.glob("[0-9]*.json"))]
    points = [answer for answer in answers if "metrics" in answer]
    failed = [answer for answer in answers if "metrics" not in answer]
    good = complete and not failed
    if points:
        objective = points[0]["params"]["score.objective"]
        rows = sort_rows(rows_of(points), objective)
        metrics = tuple(dict.fromkeys((objective, *SHOWN)))
        cells = table_of(rows, metrics)
        _print(sweep.name, cells)
        print(verdict(rows, objective))
        paths = _write(sweep.name, cells, verdict(rows, objective), rows, objective)
        _log(sweep, points, rows, objective, paths)
    Tracker().finish(sweep.parent, "FINISHED" if good else "FAILED")
    for answer in failed:
        print(f"failed: {' '.join(answer['overrides'])}; see {os.path.relpath(answer['log'])}")
    return good


def rows_of(points: Sequence[dict[str, Any]]) -> list[Row]:
    """Groups the points by what differs among them, the seed aside."""
    keys = [
        key
        for key in points[0]["params"]
        if key != "seed" and key not in DERIVED and len({json.dumps(point["params"][key]) for point in points}) > 1
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        groups.setdefault(json.dumps([point["params"][key] for key in keys]), []).append(point)
    return [
        Row(
            {key: group[0]["params"][key] for key in keys},
            {metric: [point["metrics"][metric] for point in group] for metric in group[0]["metrics"]},
            [point["run_hash"][:12] for point in group],
        )
        for group in groups.values()
    ]


def sort_rows(rows: list[Row], objective: str) -> list[Row]:
    """The best first: the lowest loss, the highest of anything else."""
    return sorted(rows, key=lambda row: merit(objective, row.mean(objective)), reverse=True)


def table_of(rows: list[Row], metrics: Sequence[str]) -> list[list[str]]:
    """The table's cells, its head first."""
    cells = [[*rows[0].values, *metrics, "seeds", "run"]]
    for row in rows:
        scores = []
        for metric in metrics:
            spread = "" if math.isnan(row.spread(metric)) else f" ± {row.spread(metric):.4f}"
            scores.append(f"{row.mean(metric):.4f}{spread}")
        cells.append([*map(str, row.values.values()), *scores, str(len(row.hashes)), " ".join(row.hashes)])
    return cells


def verdict(rows: list[Row], objective: str) -> str:
    """Whether the best row is better than the next one: their means two standard errors of the difference apart."""
    if len(rows) < 2:
        return "one row: nothing to compare"
    best, second = rows[0], rows[1]
    difference = abs(best.mean(objective) - second.mean(objective))
    if min(len(best.hashes), len(second.hashes)) < 2:
        return (
            f"the best two differ by {difference:.4f} {objective}; with one seed each nobody knows whether that means "
            "anything: add seed=1,2,3"
        )
    error = math.sqrt(sum(row.spread(objective) ** 2 / len(row.hashes) for row in (best, second)))
    told = "are told apart" if difference > 2 * error else "are NOT told apart"
    return f"the best two {told}: they differ by {difference:.4f} {objective}, the standard error is {error:.4f}"


def _print(name: str, cells: list[list[str]]) -> None:
    table = Table(*cells[0], title=name)
    for line in cells[1:]:
        table.add_row(*line)
    # Where it is no terminal, nothing need be cut.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _write(name: str, cells: list[list[str]], told: str, rows: list[Row], objective: str) -> list[Path]:
    """The table as CSV and Markdown, and the figures; their paths."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    paths = [REPORTS / f"{name}.{suffix}" for suffix in ("csv", "md", "png")]
    with paths[0].open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)
    lines = ["| " + " | ".join(line) + " |" for line in (cells[0], ["---"] * len(cells[0]), *cells[1:])]
    paths[1].write_text(f"# {name}\n\n" + "\n".join(lines) + f"\n\n{told}\n", encoding="utf-8")
    if rows[0].values:
        draw(rows, objective, paths[2])
    print(f"written: {', '.join(str(path) for path in paths if path.exists())}")
    return [path for path in paths if path.exists()]


def _log(sweep: Sweep, points: list[dict[str, Any]], rows: list[Row], objective: str, paths: list[Path]) -> None:
    """Puts the points under the sweep's run, with the table and the best score.

    Raises:
        UserError: the store does not take it.
    """
    tracker = Tracker()
    try:
        for point in points:
            for run in tracker.find({RUN_HASH: point["run_hash"]}):
                tracker.tags(run.info.run_id, {PARENT: sweep.parent})
        tracker.metrics(sweep.parent, [{"epoch": 0, f"best_{objective}": rows[0].mean(objective)}], "epoch")
        tracker.artifacts(sweep.parent, paths)
    except refusals() as error:
        told = f"MLflow does not take the sweep's table ({first_line(error)})"
        raise UserError(f"{told}: the same command delivers it") from None
