"""The comparison of a sweep's jobs: one row per setting, sorted, formatted, and with a verdict on the best two."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from captioner.config.params import DERIVED_KEYS
from captioner.score.metrics import signed_score


@dataclass(frozen=True)
class SettingRow:
    """The jobs with one setting of the parameters, which differ in nothing but the seed.

    Attributes:
        values: the value of each dimension of the sweep, by key.
        scores: the scores by metric, one per seed.
        hashes: the first 12 characters of each run hash.
    """

    values: dict[str, Any]
    scores: dict[str, list[float]]
    hashes: list[str]

    def mean(self, metric: str) -> float:
        return statistics.fmean(self.scores[metric])

    def spread(self, metric: str) -> float:
        """Return the standard deviation over the seeds, or NaN for a single seed."""
        scores = self.scores[metric]
        return statistics.stdev(scores) if len(scores) > 1 else math.nan


def group_jobs(jobs: Sequence[dict[str, Any]]) -> list[SettingRow]:
    """Group the results of jobs by the parameters that differ among them, apart from the seed."""
    keys = [
        key
        for key in jobs[0]["params"]
        if key != "seed" and key not in DERIVED_KEYS and len({json.dumps(job["params"][key]) for job in jobs}) > 1
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        groups.setdefault(json.dumps([job["params"][key] for key in keys]), []).append(job)
    return [
        SettingRow(
            {key: group[0]["params"][key] for key in keys},
            {metric: [job["metrics"][metric] for job in group] for metric in group[0]["metrics"]},
            [job["run_hash"][:12] for job in group],
        )
        for group in groups.values()
    ]


def sort_rows(rows: list[SettingRow], objective: str) -> list[SettingRow]:
    """Return the rows, best first: the lowest loss, or the highest value of any other objective."""
    return sorted(rows, key=lambda row: signed_score(objective, row.mean(objective)), reverse=True)


def format_table(rows: list[SettingRow], metrics: Sequence[str]) -> list[list[str]]:
    """Return the cells of the table; the first line is its head."""
    cells = [[*rows[0].values, *metrics, "seeds", "run"]]
    for row in rows:
        scores = []
        for metric in metrics:
            spread = "" if math.isnan(row.spread(metric)) else f" ± {row.spread(metric):.4f}"
            scores.append(f"{row.mean(metric):.4f}{spread}")
        cells.append([*map(str, row.values.values()), *scores, str(len(row.hashes)), " ".join(row.hashes)])
    return cells


def verdict(rows: list[SettingRow], objective: str) -> str:
    """Return one sentence on whether the first two rows differ by more than two standard errors of the difference."""
    if len(rows) < 2:
        return "one row: nothing to compare"
    best, second = rows[0], rows[1]
    difference = abs(best.mean(objective) - second.mean(objective))
    if min(len(best.hashes), len(second.hashes)) < 2:
        return (
            f"the best two differ by {difference:.4f} {objective}; with one seed each the difference cannot be judged: "
            "add seed=1,2,3"
        )
    error = math.sqrt(sum(row.spread(objective) ** 2 / len(row.hashes) for row in (best, second)))
    significance = "differ significantly" if difference > 2 * error else "do NOT differ significantly"
    difference_text = f"the difference is {difference:.4f} {objective}, its standard error {error:.4f}"
    return f"the best two {significance}: {difference_text}"
