"""The end of a sweep: its table and figures, printed, written, and logged to the parent run in MLflow."""

from __future__ import annotations

import csv
import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

from rich.table import Table

from captioner.common.console import markdown_table, print_table
from captioner.common.errors import UserError, first_line
from captioner.common.paths import Workspace
from captioner.sweep.launch import Sweep
from captioner.sweep.plots import draw_sweep
from captioner.sweep.table import SettingRow, format_table, group_jobs, rank_rows, verdict
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore, store_errors

TABLE_METRICS = ("bleu_4", "cider", "val_loss")  # shown in addition to the objective
TABLE_WIDTH = 200  # characters, if standard output is not a terminal: enough for every column


def finish_sweep(sweep: Sweep, all_ended: bool) -> bool:
    """Print, write and log the table and figures of a sweep, close its run, and return whether all jobs have scores.

    The jobs have written their answers. ``all_ended`` says whether every job has ended.

    Raises:
        UserError: MLflow rejects the record.
    """
    answers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(sweep.folder.glob("[0-9]*.json"))]
    jobs = [answer for answer in answers if "metrics" in answer]
    failed = [answer for answer in answers if "metrics" not in answer]
    successful = all_ended and not failed
    if jobs:
        objective = jobs[0]["params"]["score.objective"]
        groups = rank_rows(group_jobs(jobs), objective)
        paths = _report(sweep.name, groups, objective)
        _log(sweep, jobs, {f"best_{objective}": groups[0][0].mean(objective)} if len(groups) == 1 else {}, paths)
    MlflowStore().finish(sweep.parent_run_id, "FINISHED" if successful else "FAILED")
    for answer in failed:
        print(f"failed: {' '.join(answer['overrides'])}; see {os.path.relpath(answer['log'])}")
    return successful


def _report(name: str, groups: list[list[SettingRow]], objective: str) -> list[Path]:
    """Print the table and the verdict on the groups of `rank_rows`, write them and figures, and return the paths."""
    rows = list(chain.from_iterable(groups))
    head, *body = cells = format_table(rows, tuple(dict.fromkeys((objective, *TABLE_METRICS))))
    table = Table(*head, title=name)
    for line in body:
        table.add_row(*line)
    print_table(table, TABLE_WIDTH)
    conclusion = verdict(groups, objective)
    print(conclusion)
    folder = Workspace().reports / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    csv_path, markdown_path, figure_path = paths = [folder / f"{name}.{suffix}" for suffix in ("csv", "md", "png")]
    with csv_path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)
    markdown_path.write_text(f"# {name}\n\n{markdown_table(cells)}\n{conclusion}\n", encoding="utf-8")
    if rows[0].values:
        draw_sweep(rows, objective, figure_path)
    paths = [path for path in paths if path.exists()]
    print(f"written: {', '.join(map(str, paths))}")
    return paths


def _log(sweep: Sweep, jobs: list[dict[str, Any]], metrics: dict[str, float], paths: list[Path]) -> None:
    """Nest the runs of the jobs under the sweep's run, and log the metrics and files there.

    Raises:
        UserError: MLflow rejects the record.
    """
    store = MlflowStore()
    try:
        for job in jobs:
            for run in store.search({tag.RUN_HASH: job["run_hash"], tag.WEIGHTS: job["weights_hash"]}):
                store.set_tags(run.info.run_id, {tag.PARENT_RUN: sweep.parent_run_id})
        store.log_metrics(sweep.parent_run_id, [{"epoch": 0, **metrics}], "epoch")
        store.log_artifacts(sweep.parent_run_id, paths)
    except store_errors() as error:
        reason = f"MLflow does not accept the sweep's table ({first_line(error)})"
        raise UserError(f"{reason}: run the same command again to log it") from None
