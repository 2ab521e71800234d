"""The debug configurations, as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.repository import make_repo, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(tmp_path_factory.mktemp("debug"))


def run_debug(repo: Path, name: str, datasets: Path) -> dict[str, float]:
    """Run an experiment with a debug configuration and return its metrics."""
    run(repo, "dvc", "exp", "run", "-S", f"debug={name}", "-S", f"data.data_dir={datasets}")
    metrics: dict[str, float] = json.loads((repo / "reports/metrics.json").read_text())
    return metrics


def test_overfit_learns_one_batch(repo: Path, datasets: Path) -> None:
    metrics = run_debug(repo, "overfit", datasets)
    assert metrics["bleu_4"] > 0.95
    assert metrics["distinct"] == 1
    assert len(json.loads((repo / "reports/captions.json").read_text())) == 16


def test_profile_lists_the_functions_of_a_training(repo: Path, datasets: Path) -> None:
    run_debug(repo, "profile", datasets)
    assert "train_on_batch" in (repo / "reports/profile.txt").read_text()


def test_fast_trains_one_epoch(repo: Path, datasets: Path) -> None:
    run_debug(repo, "fast", datasets)
    assert len(json.loads((repo / "models/captioner/history.json").read_text())["epochs"]) == 1
