"""``captioner compare`` and ``captioner leaderboard``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.repository import SMALL, compose, make_repo, run
from mlflow import MlflowClient

from captioner.common.paths import Workspace
from captioner.data.captions_table import read_captions_table


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


@pytest.mark.slow
def test_runs_with_equal_image_ids_but_other_images_are_not_compared(tmp_path: Path, datasets: Path) -> None:
    folder, hashes = make_repo(tmp_path), []
    for seed in (1, 2):
        compose(folder, *SMALL, f"data.data_dir={datasets}", f"data.seed={seed}")
        run(folder, "dvc", "repro")
        hashes.append(newest_run_hash(folder)[:12])
        if seed == 1:
            run(folder, "captioner", "promote", PYTHONPATH="src")
            first_ids = read_captions_table(Workspace(folder).captions, "val").image_ids
    assert read_captions_table(Workspace(folder).captions, "val").image_ids == first_ids
    refusal = "was scored on the evaluation set"
    assert refusal in run(folder, "captioner", "compare", *hashes, status=1)
    assert refusal in run(folder, "captioner", "promote", status=1, PYTHONPATH="src")
    assert "is now version 2" in run(folder, "captioner", "promote", "--force", PYTHONPATH="src")
    printed = run(folder, "captioner", "leaderboard")
    assert len(set(re.findall(r"\| (shapes val \w{6}) \|", printed))) == 2
