"""The comparison of two sets of captions, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from captioner.score.bootstrap import Interval, paired_differences
from captioner.score.metrics import Scores


def comparison_table(names: Sequence[str], first: Scores, second: Scores) -> Table:
    """Return a table with a row per metric: both scores, ``second`` minus ``first``, its 95 % interval and a verdict.

    ``names`` are the column heads of the two scores.

    Raises:
        UserError: the two are scores of different images.
    """
    table = Table("metric", *names, "difference", "95 % interval", "")
    for name, (difference, interval) in paired_differences(first, second).items():
        scores = f"{first.metrics[name]:.4f}", f"{second.metrics[name]:.4f}"
        low, high = interval
        table.add_row(name, *scores, f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", _choose_verdict(interval))
    return table


def explain_different_sets(names: Sequence[str], evaluation_sets: Sequence[str | None]) -> str | None:
    """Return why the scores of two runs cannot be compared, and what to do, or None if they can be.

    ``evaluation_sets`` holds the hash of the images and references of each run, or None if it was not recorded.
    """
    first, second = evaluation_sets
    if not first or not second:
        unknown = " and ".join(name for name, known in zip(names, evaluation_sets, strict=True) if not known)
        return (
            f"{unknown}: recorded before evaluation sets were hashed: "
            "`dvc repro` with its parameters trains it again, as a new row"
        )
    if first != second:
        return (
            f"{names[0]} was scored on the evaluation set {first[:12]}, {names[1]} on {second[:12]}, so they cannot be "
            "compared: score both on the same images and references"
        )
    return None


def _choose_verdict(interval: Interval) -> str:
    """Return whether the interval of a difference lies on one side of zero."""
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "no significant difference"
