"""What ``captioner score`` does: every metric for any two files, as a table or as JSON."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from captioner.score.files import read_references, read_results
from captioner.score.intervals import DRAWS, intervals
from captioner.score.meteor import meteor
from captioner.score.metrics import score_captions

ROUNDED = 6  # digits, as in reports/metrics.json


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
