"""What the tests of sweeps share."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from repository import make_repo, run

TINY = """# @package _global_
data: {{limit: 48, data_dir: {datasets}}}
model: {{units: 16, attention_dim: 16, embedding_dim: 16}}
train: {{epochs: 1}}
decode: {{strategy: greedy}}
score: {{figure_pictures: 2}}
"""
SWEEP = ("python", "-m", "captioner.sweep", "-m", "experiment=tiny")


def make_sweep_repo(folder: Path, datasets: Path) -> Path:
    """A repository with a preset for points of a few seconds."""
    repo = make_repo(folder)
    (repo / "conf/experiment/tiny.yaml").write_text(TINY.format(datasets=datasets))
    run(repo, "git", "add", "-A")
    run(repo, "git", "-c", "user.name=t", "-c", "user.email=t@t.t", "commit", "-qm", "tiny")
    return repo


def stages_run(repo: Path) -> Counter[str]:
    """How often each stage ran in the last sweep, from the logs of its points."""
    logs = [path.read_text() for path in (repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log")]
    return Counter(name for log in logs for name in re.findall(r"Running stage '(.+)'", log))


def rows(repo: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    return list(client.search_runs([client.get_experiment_by_name("captioner").experiment_id]))
