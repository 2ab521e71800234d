"""Runs beside one another: ``captioner compare`` and ``leaderboard``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mlflow import MlflowClient
from repository import run


def run_hash(repo: Path) -> str:
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("captioner")
    runs = client.search_runs([experiment.experiment_id], "metrics.bleu_4 >= 0 and tags.`captioner.run_hash` like '%'")
    return str(runs[0].data.tags["captioner.run_hash"])


def test_a_run_is_not_better_than_itself(repo: Path) -> None:
    name = run_hash(repo)
    printed = run(repo, "captioner", "compare", name[:8], name)
    scores = json.loads((repo / "reports/metrics.json").read_text())
    for metric in ("bleu_1", "bleu_4", "rouge_l", "cider"):
        value = f"{scores[metric]:.4f}"
        assert re.search(rf"{metric} +│ {value} +│ {value} +│ \+0.0000 .*not told apart", printed)


def test_no_such_run(repo: Path) -> None:
    assert run(repo, "captioner", "compare", "none", "none", status=1).startswith("error: none is no run of")


def test_the_leaderboard(repo: Path) -> None:
    printed = run(repo, "captioner", "leaderboard")
    text = (repo / "reports/leaderboard.md").read_text()
    assert text in printed
    scores = json.loads((repo / "reports/metrics.json").read_text())
    (line,) = [line for line in text.splitlines() if f"`{run_hash(repo)[:12]}`" in line and "greedy" not in line]
    assert "| shapes val |" in line
    assert f"| {scores['bleu_4']:.4f} ± " in line
    assert re.search(r"\| \d+ s \|", line)


def test_a_leaderboard_of_nothing(tmp_path: Path) -> None:
    assert "holds no run with scores" in run(tmp_path, "captioner", "leaderboard", status=1)
    assert not (tmp_path / "reports").exists()
