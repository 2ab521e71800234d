"""The comparison of two sets of captions, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from captioner.score.bootstrap import Interval, paired_differences
from captioner.score.metrics import Scores


def comparison_table(names: Sequence[str], first: Scores, second: Scores) -> Table:
    """Return a table with a row per metric: both scores, their difference, its 95 % interval and a verdict.

    Args:
        names: the column heads of the two scores.
        first: the scores of the baseline.
        second: the scores that are compared with it.

    Raises:
        UserError: the two are scores of different images.
    """
    table = Table("metric", *names, "difference", "95 % interval", "")
    for name, (difference, interval) in paired_differences(first, second).items():
        scores = f"{first.metrics[name]:.4f}", f"{second.metrics[name]:.4f}"
        low, high = interval
        table.add_row(name, *scores, f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", _choose_verdict(interval))
    return table


def _choose_verdict(interval: Interval) -> str:
    """Return whether the interval of a difference lies on one side of zero."""
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "no significant difference"
