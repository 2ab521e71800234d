"""A figure of a benchmark: what ours takes, what something else takes in the same run, and what was aimed at."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: is measured.
        ours: in ``unit``.
        unit: of ``ours`` and ``other``.
        against: what ``other`` is.
        other: in ``unit``, taken in the same run; a limit that was set beforehand has no run.
        ratio: of the two, so that it can be read as a sentence: "25 times faster", "0.5 of the peak".
        target: for the ratio; None where none was set.
        at_most: whether the ratio should be no more, rather than no less, than the target.
    """

    what: str
    ours: float
    unit: str
    against: str
    other: float
    ratio: float
    target: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def faster(what: str, ours: float, unit: str, against: str, other: float, target: float | None = None) -> Row:
    """So many times faster than something else."""
    return Row(what, ours, unit, against, other, other / ours, target)


def within(what: str, ours: float, unit: str, limit: float) -> Row:
    """At most what was allowed."""
    return Row(what, ours, unit, "allowed", limit, ours / limit, 1.0, at_most=True)


def give(rows: list[Row]) -> None:
    """Prints the rows for `bench.py`, a line of JSON each."""
    for row in rows:
        print(json.dumps(asdict(row)))
    sys.stdout.flush()


def read(printed: str) -> list[Row]:
    """The rows among what a benchmark printed."""
    return [Row(**json.loads(line)) for line in printed.splitlines() if line.startswith('{"what"')]


def write(rows: list[Row], folder: Path, about: dict[str, str]) -> str:
    """Writes ``benchmarks.json`` and ``benchmarks.md``; returns the latter."""
    folder.mkdir(exist_ok=True)
    tree = {"about": about, "rows": [asdict(row) | {"met": row.met} for row in rows]}
    (folder / "benchmarks.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    lines = [["what", "ours", "against", "", "ratio", "target", "met"], ["---"] * 7]
    for row in rows:
        aim = "" if row.target is None else f"{'at most' if row.at_most else 'at least'} {row.target:g}"
        told = f"{row.ours:.4g} {row.unit}", row.against, f"{row.other:.4g} {row.unit}", f"{row.ratio:.2f}"
        lines.append([row.what, *told, aim, ("yes" if row.met else "NO") if aim else ""])
    head = "".join(f"{name}: {value}  \n" for name, value in about.items())
    text = f"# Benchmarks\n\n{head}\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")
    return text


def seconds_of(work: Callable[[], object], turns: int = 3) -> float:
    """The median of the seconds that ``work`` takes, after it has been done once."""
    work()
    taken = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def own_memory() -> float:
    """What the process has for itself (RssAnon, Linux), in MB, without the pages of mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024
