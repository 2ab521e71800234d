"""Temporary repositories in which DVC, MLflow and Hydra run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ["prepare", "tokenize-adapt", "train", "sample", "evaluate"]
SMALL = [
    *("data.limit=48", "train.epochs=2", "model.units=32", "model.attention_dim=32", "model.embedding_dim=32"),
    *("decode.beam_size=2", "score.figure_pictures=3"),
]


def environment() -> dict[str, str]:
    """A user's shell with the project's environment activated."""
    gone = {"DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "PYTHONPATH", "KERAS_BACKEND"}
    kept = {key: value for key, value in os.environ.items() if key not in gone}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def run(repo: Path, *command: str, status: int = 0, **variables: str) -> str:
    """What the command printed; fails where it ends with another status."""
    done = subprocess.run(command, cwd=repo, env=environment() | variables, capture_output=True, text=True)
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def make_repo(folder: Path) -> Path:
    """A repository of the files as they are here, committed."""
    names = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t.t", "commit", "-qm", "start")
    return folder


def compose(repo: Path, *overrides: str) -> None:
    run(repo, "python", "-m", "captioner.compose", *overrides, PYTHONPATH="src")


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """The file with its first ``old`` replaced, for a while."""
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)
