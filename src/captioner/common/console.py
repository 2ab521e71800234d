"""Console output that several packages share: progress bars and tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table


def progress_bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on standard error with additional ``columns``; it is silent if that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def print_table(table: Table, width: int) -> None:
    """Print a table; ``width`` is its width in characters if standard output is not a terminal."""
    Console(width=None if sys.stdout.isatty() else width).print(table)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body))
