"""The comparison of a sweep's jobs: one row per setting, ranked, formatted, and with a verdict on the best."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from captioner.config.params import DERIVED_KEYS
from captioner.score.comparability import is_comparable_across_vocabularies, signed_score

SIGNIFICANCE_LEVEL = 0.05
MAX_NAMED_SETTINGS = 5  # in a sentence


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
    """Group the results of jobs by the parameters that differ among them, apart from the seed.

    A job that was given twice counts once.
    """
    keys = [
        key
        for key in jobs[0]["params"]
        if key != "seed" and key not in DERIVED_KEYS and len({json.dumps(job["params"][key]) for job in jobs}) > 1
    ]
    groups: dict[str, dict[str, dict[str, Any]]] = {}  # jobs by setting and run hash
    for job in jobs:
        groups.setdefault(json.dumps([job["params"][key] for key in keys]), {})[job["run_hash"]] = job
    return [
        SettingRow(
            {key: group[0]["params"][key] for key in keys},
            {metric: [job["metrics"][metric] for job in group] for metric in group[0]["metrics"]},
            [job["run_hash"][:12] for job in group],
        )
        for group in (list(jobs_by_hash.values()) for jobs_by_hash in groups.values())
    ]


def rank_rows(rows: Sequence[SettingRow], objective: str) -> list[list[SettingRow]]:
    """Return the rows, best first, in the groups within which the objective can be compared.

    There is one group, unless the objective is a validation loss and the rows differ in the vocabulary: then one for
    each combination of parameters of the section ``text``, in the order of their first rows.
    """
    groups: dict[str, list[SettingRow]] = {}
    for row in rows:
        text = {} if is_comparable_across_vocabularies(objective) else _text_values(row)
        groups.setdefault(json.dumps(text), []).append(row)
    return [
        sorted(group, key=lambda row: signed_score(objective, row.mean(objective)), reverse=True)
        for group in groups.values()
    ]


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


def verdict(groups: Sequence[Sequence[SettingRow]], objective: str) -> str:
    """Return whether the best setting can be told apart from the others: one sentence for each group of `rank_rows`."""
    if len(groups) == 1:
        return _judge(groups[0], objective)
    reason = (
        f"{objective} cannot be compared across vocabularies (a smaller one has more <unk>, which is easy to predict): "
        "the rows are ranked within equal text parameters"
    )
    sentences = [f"{_describe(_text_values(group[0]))}: {_judge(group, objective)}" for group in groups]
    return "\n- ".join([reason, *sentences])


def _judge(rows: Sequence[SettingRow], objective: str) -> str:
    """Return one sentence on the difference between the first row, which is the best, and each other row.

    Welch's t test (1947) compares the scores of their seeds. The best row is known only after all M rows have been
    seen, so its p values are multiplied by the number of all pairs, M (M - 1) / 2 (Bonferroni).
    """
    if len(rows) < 2:
        return "one row: nothing to compare"
    best, second, *_ = rows
    difference = f"the best two settings differ by {abs(best.mean(objective) - second.mean(objective)):.4f} {objective}"
    fewer, more = sorted((len(best.hashes), len(second.hashes)))
    if fewer < 2:
        reason = "with one seed each" if more < 2 else "one of them has a single seed, so"
        return f"{difference}; {reason} the difference cannot be judged: add seed=1,2,3"
    pairs = math.comb(len(rows), 2)
    p_values = _adjusted_p_values(rows, objective, pairs)
    correction = f" after Bonferroni's correction for {pairs} pairs" if pairs > 1 else ""
    significance = "significantly" if p_values[0] < SIGNIFICANCE_LEVEL else "NOT significantly"
    similar = [row for row, p in zip(rows[1:], p_values, strict=True) if not p < SIGNIFICANCE_LEVEL]
    sentence = (
        f"{difference}, {significance} (Welch's t test: p = {p_values[0]:.2g}{correction}); "
        f"settings that cannot be told apart from the best: {len(similar)} of {len(rows) - 1}"
    )
    if similar:
        names = [_describe(row.values) for row in similar[:MAX_NAMED_SETTINGS]]
        names += [f"{len(similar) - len(names)} more"] if len(similar) > len(names) else []
        sentence += f" ({'; '.join(names)})"
        if min(len(row.hashes) for row in rows) < 3:
            sentence += ": with fewer than three seeds only very large differences show, so add seeds"
    return sentence


def _adjusted_p_values(rows: Sequence[SettingRow], objective: str, pairs: int) -> list[float]:
    """Return p of the first row against each other row, times ``pairs``, at most 1; NaN for a row with one seed."""
    from scipy.stats import ttest_ind_from_stats  # the import takes a second

    means_M = np.asarray([row.mean(objective) for row in rows])
    spreads_M = np.asarray([row.spread(objective) for row in rows])
    counts_M = np.asarray([len(row.hashes) for row in rows])
    best, others = (means_M[0], spreads_M[0], counts_M[0]), (means_M[1:], spreads_M[1:], counts_M[1:])
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 if all scores of two rows are equal
        p_values = ttest_ind_from_stats(*best, *others, equal_var=False).pvalue
    equal = (means_M[1:] == means_M[0]) & (counts_M[1:] > 1)
    adjusted: list[float] = np.where(equal, 1.0, np.minimum(p_values * pairs, 1.0)).tolist()
    return adjusted


def _text_values(row: SettingRow) -> dict[str, Any]:
    return {key: value for key, value in row.values.items() if key.startswith("text.")}


def _describe(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
