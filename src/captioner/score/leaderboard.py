"""The leaderboard: runs and their scores as a Markdown table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from captioner.common.console import markdown_table


@dataclass(frozen=True)
class LeaderboardRow:
    """A run with scores.

    Attributes:
        run: the beginning of the run hash.
        commit: the beginning of the commit hash, or an empty text.
        dataset: the name of the dataset and the captioned split.
        evaluation_set: the hash of the images and references, or None if it is not recorded.
        params: the other parameters by their full keys, such as ``model.units``.
        metrics: as in ``reports/metrics.json`` and ``reports/intervals.json``; at least bleu_4 and cider.
        train_time: the training time with its unit, such as "12 s", or an empty text.
        device: the training device, or an empty text.
    """

    run: str
    commit: str
    dataset: str
    evaluation_set: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    train_time: str
    device: str


def leaderboard_markdown(rows: Sequence[LeaderboardRow], ignored_keys: Collection[str]) -> str:
    """Return the leaderboard as Markdown, ordered by dataset, evaluation set, and descending BLEU-4.

    ``ignored_keys`` are parameters that are not shown, for example because they change no score.
    """
    rows = sorted(rows, key=lambda row: (row.dataset, row.evaluation_set or "unknown", -row.metrics["bleu_4"]))
    sets_by_dataset: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.evaluation_set:
            sets_by_dataset[row.dataset].add(row.evaluation_set)
    keys = _find_differing_keys(rows, ignored_keys)
    columns: dict[str, Callable[[LeaderboardRow], str]] = {
        "run": lambda row: f"`{row.run}`",
        "commit": lambda row: row.commit,
        "dataset": lambda row: _describe_set(row, len(sets_by_dataset[row.dataset]) > 1),
        "parameters that differ": lambda row: ", ".join(
            f"{key}={row.params[key]}" for key in keys if key in row.params
        ),
        "BLEU-4": lambda row: _format_score(row.metrics, "bleu_4"),
        "CIDEr": lambda row: _format_score(row.metrics, "cider"),
        "training": lambda row: row.train_time,
        "device": lambda row: row.device,
    }
    table = markdown_table([list(columns), *([column(row) for column in columns.values()] for row in rows)])
    return f"# Leaderboard\n\n{table}"


def _describe_set(row: LeaderboardRow, is_ambiguous: bool) -> str:
    """Return the dataset, and the beginning of the evaluation set's hash if others have the same dataset."""
    if row.evaluation_set is None:
        return f"{row.dataset}, unknown set"
    return f"{row.dataset} {row.evaluation_set[:6]}" if is_ambiguous else row.dataset


def _find_differing_keys(rows: Sequence[LeaderboardRow], ignored_keys: Collection[str]) -> list[str]:
    """Return the parameters that do not have the same value in all rows."""
    keys = {key for row in rows for key in row.params} - set(ignored_keys)
    return [key for key in sorted(keys) if len({row.params.get(key) for row in rows}) > 1]


def _format_score(metrics: dict[str, float], name: str) -> str:
    """Return the score, plus and minus half the width of its 95 % interval if that is known."""
    score = f"{metrics[name]:.4f}"
    low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
    return score if low is None or high is None else f"{score} ± {(high - low) / 2:.4f}"
