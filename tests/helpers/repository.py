"""Temporary repositories in which tests run DVC, MLflow and Hydra for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
STAGES = ["prepare", "tokenize-adapt", "train", "sample", "evaluate"]
# Overrides that make the pipeline small enough for tests.
SMALL = [
    *("data.limit=48", "train.epochs=2", "model.units=32", "model.attention_dim=32", "model.embedding_dim=32"),
    *("decode.beam_size=2", "score.figure_pictures=3"),
]
UNSET_VARIABLES = {"DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "PYTHONPATH", "KERAS_BACKEND"}


def environment() -> dict[str, str]:
    """Return the environment variables of a user's shell in which the project's virtual environment is activated."""
    variables = {key: value for key, value in os.environ.items() if key not in UNSET_VARIABLES}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return variables | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def run(repo: Path, *command: str, status: int = 0, **variables: str) -> str:
    """Run a command and return what it printed. Fail if its exit status is not ``status``."""
    process = subprocess.run(command, cwd=repo, env=environment() | variables, capture_output=True, text=True)
    assert process.returncode == status, f"{command}\n{process.stdout}\n{process.stderr}"
    return process.stdout + process.stderr


def commit(repo: Path, message: str) -> None:
    """Commit all files of the repository."""
    run(repo, "git", "add", "-A")
    run(repo, "git", "-c", "user.name=t", "-c", "user.email=t@t.t", "commit", "-qm", message)


def make_repo(folder: Path) -> Path:
    """Make a repository in ``folder`` with one commit: the project's files, uncommitted changes included."""
    names = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    run(folder, "git", "init", "-q")
    commit(folder, "start")
    return folder


def compose(repo: Path, *overrides: str) -> None:
    """Write params.yaml in the repository as the composition of its conf/ with overrides."""
    run(repo, "python", "-m", "captioner.cli", "params", *overrides, PYTHONPATH="src")


def make_repo_with_run(folder: Path, datasets: Path) -> Path:
    """Make a repository in ``folder`` in which the pipeline has run once at a small size."""
    repo = make_repo(folder)
    compose(repo, *SMALL, f"data.data_dir={datasets}")
    run(repo, "dvc", "repro")
    return repo


def read_outs_in_lock(repo: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the outs of each stage, with their hashes, as dvc.lock records them."""
    stages = yaml.safe_load((repo / "dvc.lock").read_text())["stages"]
    return {name: stage["outs"] for name, stage in stages.items()}


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """Replace the first ``old`` in a file, and restore the file at the end."""
    original = path.read_text()
    assert old in original
    path.write_text(original.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(original)
