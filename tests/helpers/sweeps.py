"""A repository for tests of sweeps, and what a sweep left in it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from helpers.repository import commit, make_repo
from mlflow import MlflowClient
from mlflow.entities import Run

TINY_PRESET = """# @package _global_
data: {{limit: 48, data_dir: {datasets}}}
model: {{units: 16, attention_dim: 16, embedding_dim: 16}}
train: {{epochs: 1}}
decode: {{strategy: greedy}}
score: {{figure_pictures: 2}}
"""
SWEEP_COMMAND = ("python", "-m", "captioner.sweep", "-m", "experiment=tiny")


def make_sweep_repo(folder: Path, datasets: Path) -> Path:
    """Make a repository with a preset whose jobs take a few seconds."""
    repo = make_repo(folder)
    (repo / "conf/experiment/tiny.yaml").write_text(TINY_PRESET.format(datasets=datasets))
    commit(repo, "tiny")
    return repo


def count_stage_runs(repo: Path) -> Counter[str]:
    """Return how often the jobs of the last sweep ran each stage, according to their logs."""
    logs = [path.read_text() for path in (repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log")]
    return Counter(name for log in logs for name in re.findall(r"Running stage '(.+)'", log))


def all_runs(repo: Path) -> list[Run]:
    """Return all runs in the repository's MLflow store."""
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    return list(client.search_runs([client.get_experiment_by_name("captioner").experiment_id]))


def job_runs(repo: Path) -> list[Run]:
    """Return the MLflow runs of jobs."""
    return [run for run in all_runs(repo) if "captioner.run_hash" in run.data.tags]


def parent_runs(repo: Path) -> list[Run]:
    """Return the MLflow runs of sweeps."""
    return [run for run in all_runs(repo) if "captioner.sweep" in run.data.tags]
