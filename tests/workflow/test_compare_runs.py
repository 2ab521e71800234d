"""``captioner compare`` and ``captioner leaderboard``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.repository import run
from mlflow import MlflowClient


def newest_run_hash(repo: Path) -> str:
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("captioner")
    runs = client.search_runs([experiment.experiment_id], "metrics.bleu_4 >= 0 and tags.`captioner.run_hash` like '%'")
    return str(runs[0].data.tags["captioner.run_hash"])


def test_run_does_not_differ_from_itself(repo: Path) -> None:
    name = newest_run_hash(repo)
    printed = run(repo, "captioner", "compare", name[:8], name)
    scores = json.loads((repo / "reports/metrics.json").read_text())
    for metric in ("bleu_1", "bleu_4", "rouge_l", "cider"):
        value = f"{scores[metric]:.4f}"
        assert re.search(rf"{metric} +│ {value} +│ {value} +│ \+0.0000 .*no significant difference", printed)


def test_unknown_run_is_an_error(repo: Path) -> None:
    printed = run(repo, "captioner", "compare", "none", "none", status=1)
    assert printed.startswith("error: none is not a run in")


def test_leaderboard_is_printed_and_written(repo: Path) -> None:
    printed = run(repo, "captioner", "leaderboard")
    text = (repo / "reports/leaderboard.md").read_text()
    assert text in printed
    scores = json.loads((repo / "reports/metrics.json").read_text())
    run_hash = newest_run_hash(repo)[:12]
    (line,) = [line for line in text.splitlines() if f"`{run_hash}`" in line and "greedy" not in line]
    assert "| shapes val |" in line
    assert f"| {scores['bleu_4']:.4f} ± " in line
    assert re.search(r"\| \d+ s \|", line)


def test_leaderboard_without_runs_is_an_error(tmp_path: Path) -> None:
    assert "holds no run with scores" in run(tmp_path, "captioner", "leaderboard", status=1)
    assert not (tmp_path / "reports").exists()
