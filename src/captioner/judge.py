"""What ``captioner score``, ``compare`` and ``leaderboard`` do: whether one set of captions is better than another."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from captioner.config import UserError
from captioner.score.each import read_each
from captioner.score.files import read_references, read_results
from captioner.score.intervals import DRAWS, differences, intervals
from captioner.score.meteor import meteor
from captioner.score.metrics import Scores, score_captions
from captioner.track.runs import COMMIT, DEVICE, OF_RUN, RUN_HASH, SECONDS, find_run
from captioner.track.store import Tracker, refusals_in_one_line

if TYPE_CHECKING:
    from mlflow.entities import Run

ROUNDED = 6  # digits, as in reports/metrics.json
LEADERBOARD = Path("reports/leaderboard.md")
# They follow from other parameters, or change no score.
SILENT = ("data.watch", "data.extractor.watch", "score.figure_pictures", "score.objective")


def score_files(hypotheses: Path, references: Path, split: str | None, as_json: bool) -> None:
    """Prints the scores of a file of captions, METEOR too where Java is at hand.

    Raises:
        UserError: a file is not in its format, or a caption's picture has no references.
    """
    captions = read_results(hypotheses)
    truths = read_references(references, split)
    left_out = len(truths.keys() - captions.keys())
    if left_out:
        print(f"{left_out} pictures of {references} have no caption and are left out", file=sys.stderr)
    truths = {image_id: true for image_id, true in truths.items() if image_id in captions}
    scores = score_captions(captions, truths)
    ranges = intervals(scores)
    metrics = dict(scores.metrics)
    if shutil.which("java"):
        metrics["meteor"] = meteor(captions, truths)
    metrics = {name: round(value, ROUNDED) for name, value in sorted(metrics.items())}
    if as_json:
        rounded = {name: [round(end, ROUNDED) for end in ranges[name]] for name in sorted(ranges)}
        print(json.dumps(metrics | {"intervals": rounded}, indent=2))
        return
    table = Table("metric", "score", "95 % interval", title=f"{len(captions)} captions")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}", "{:.4f} to {:.4f}".format(*ranges[name]) if name in ranges else "")
    Console().print(table)
    print(f"intervals: bootstrap over pictures, {DRAWS} draws; metrics as fractions, cider at most 10")


@refusals_in_one_line()
def compare_runs(one: str, other: str) -> None:
    """Prints how much better the second run is than the first, and whether that means anything.

    Raises:
        UserError: there is no such run, or the two captioned other pictures.
    """
    tracker = Tracker()
    runs = [find_run(tracker, name) for name in (one, other)]
    first, second = (_scores_of(tracker, run) for run in runs)
    table = Table("metric", *(str(run.info.run_name) for run in runs), "difference", "95 % interval", "")
    for name, (difference, (low, high)) in differences(first, second).items():
        told = "better" if low > 0 else "worse" if high < 0 else "not told apart"
        scores = f"{first.metrics[name]:.4f}", f"{second.metrics[name]:.4f}"
        table.add_row(name, *scores, f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", told)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(
        f"paired bootstrap over {len(first.image_ids)} pictures, {DRAWS} draws: it tells two sets of captions apart, "
        "not two recipes; train each with several seeds for that"
    )


def _scores_of(tracker: Tracker, run: Run) -> Scores:
    content = tracker.read(run.info.run_id, "each.csv")
    if content is None:
        raise UserError(f"run {run.info.run_name} has no each.csv: it was not evaluated to its end")
    return read_each(content.decode())


@refusals_in_one_line()
def leaderboard() -> None:
    """Writes a Markdown table of all runs with scores, for each dataset the best BLEU-4 first, and prints it."""
    tracker = Tracker()
    rows = [run for tag in (RUN_HASH, OF_RUN) for run in tracker.find({tag: "%"}, like=True)]
    rows = [run for run in rows if "bleu_4" in run.data.metrics]
    rows.sort(key=lambda run: (_dataset(run), -run.data.metrics["bleu_4"]))
    if not rows:
        raise UserError(f"{tracker.client.tracking_uri} holds no run with scores: `dvc repro` makes one")
    columns: dict[str, Callable[[Run], str]] = {
        "run": lambda run: f"`{(run.data.tags.get(RUN_HASH) or run.data.tags[OF_RUN])[:12]}`",
        "commit": lambda run: run.data.tags.get(COMMIT, "")[:7],
        "dataset": _dataset,
        "parameters that differ": lambda run: ", ".join(
            f"{key}={run.data.params[key]}" for key in _differing(rows) if key in run.data.params
        ),
        "BLEU-4": lambda run: _with_interval(run.data.metrics, "bleu_4"),
        "CIDEr": lambda run: _with_interval(run.data.metrics, "cider"),
        "training": lambda run: f"{run.data.tags[SECONDS]} s" if SECONDS in run.data.tags else "",
        "device": lambda run: run.data.tags.get(DEVICE, ""),
    }
    lines = [list(columns), ["---"] * len(columns), *([tell(run) for tell in columns.values()] for run in rows)]
    text = "# Leaderboard\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    LEADERBOARD.parent.mkdir(exist_ok=True)
    LEADERBOARD.write_text(text, encoding="utf-8")
    print(text, f"\nwritten: {LEADERBOARD}", sep="")


def _dataset(run: Run) -> str:
    """Its name, and the split that was captioned."""
    return " ".join(run.data.params.get(key, "") for key in ("data.name", "decode.split"))


def _differing(rows: list[Run]) -> list[str]:
    """The parameters that are not the same in all rows; the dataset has a column of its own."""
    keys = sorted({key for run in rows for key in run.data.params} - {"data.name", "decode.split", *SILENT})
    return [key for key in keys if len({run.data.params.get(key) for run in rows}) > 1]


def _with_interval(metrics: dict[str, float], name: str) -> str:
    """The score, plus and minus half the width of its interval."""
    told = f"{metrics[name]:.4f}"
    low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
    if low is not None and high is not None:
        told += f" ± {(high - low) / 2:.4f}"
    return told
