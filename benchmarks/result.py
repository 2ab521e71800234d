"""The results of benchmarks: each is a measured value, what it is compared with, and the target for their ratio."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from captioner.common.console import markdown_table


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        name: what was measured.
        captioner: the value of this package, in ``unit``.
        unit: the unit of ``captioner`` and ``baseline_value``.
        baseline: the name of the value to compare with.
        baseline_value: that value, in ``unit``: measured in the same run, or a fixed limit.
        ratio: of the two values. `compare_speed` divides by the captioner's value, `compare` by the baseline's.
        target: for the ratio; None if there is none.
        at_most: whether the target is an upper bound, not a lower one.
    """

    name: str
    captioner: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float
    target: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the ratio reaches the target."""
        if self.target is None:
            return True
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def compare(
    name: str,
    unit: str,
    captioner: float,
    baseline: tuple[str, float],
    target: float | None = None,
    at_most: bool = False,
) -> Result:
    """Return a result whose ratio is the value divided by that of the baseline (name, value)."""
    return Result(name, captioner, unit, *baseline, captioner / baseline[1], target, at_most)


def compare_speed(name: str, seconds: float, baseline: tuple[str, float], target: float) -> Result:
    """Return a result whose ratio says how many times faster than the baseline (name, seconds) the captioner is."""
    return Result(name, seconds, "s", *baseline, baseline[1] / seconds, target)


def check_limit(name: str, unit: str, captioner: float, maximum: float) -> Result:
    """Return a result whose value must not exceed a fixed ``maximum``."""
    return compare(name, unit, captioner, ("limit", maximum), 1.0, at_most=True)


def print_results(results: list[Result]) -> None:
    """Print one line of JSON per result, which `bench.py` reads."""
    for result in results:
        print(json.dumps(asdict(result)))
    sys.stdout.flush()


def parse_results(output: str) -> list[Result]:
    """Return the results among the lines that a benchmark printed."""
    return [Result(**json.loads(line)) for line in output.splitlines() if line.startswith('{"name"')]


def write_report(results: list[Result], folder: Path, conditions: dict[str, str]) -> str:
    """Write ``benchmarks.json`` and ``benchmarks.md``, with date and machine at the top; return the Markdown text."""
    folder.mkdir(exist_ok=True)
    tree = {"conditions": conditions, "results": [asdict(result) | {"met": result.met} for result in results]}
    (folder / "benchmarks.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    header = ["name", "captioner", "baseline", "", "ratio", "target", "met"]
    head = "".join(f"{name}: {value}  \n" for name, value in conditions.items())
    text = f"# Benchmarks\n\n{head}\n" + markdown_table([header, *map(_table_row, results)])
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")
    return text


def _table_row(result: Result) -> list[str]:
    values = [f"{value:.4g} {result.unit}" for value in (result.captioner, result.baseline_value)]
    cells = [result.name, values[0], result.baseline, values[1], f"{result.ratio:.2f}"]
    if result.target is None:
        return [*cells, "", ""]
    target = f"{'at most' if result.at_most else 'at least'} {result.target:g}"
    return [*cells, target, "yes" if result.met else "NO"]
