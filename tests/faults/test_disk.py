"""A full disk and a read-only one, for real: small tmpfs mounts in a mount namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import SMALL, changed, compose, environment, make_repo, run

pytestmark = pytest.mark.slow

UNSHARE = ("unshare", "--mount", "--map-root-user")


@pytest.fixture(scope="module", autouse=True)
def _can_mount() -> None:
    try:
        subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a mount namespace of its own: {error}")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    folder = make_repo(tmp_path_factory.mktemp("disk"))
    compose(folder, *SMALL, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro")
    return folder


def outs(repo: Path) -> dict[str, list[dict[str, str]]]:
    return {name: stage["outs"] for name, stage in yaml.safe_load((repo / "dvc.lock").read_text())["stages"].items()}


def with_mount(repo: Path, mount: str, command: str, status: int = 1, **variables: str) -> str:
    """What a command printed that ran while something was mounted."""
    found = subprocess.run(
        [*UNSHARE, "sh", "-c", f"{mount} && exec {command}"], cwd=repo, capture_output=True, text=True, check=False,
        env=environment() | {"PYTHONPATH": "src", "PYTHON": sys.executable} | variables,
    )  # fmt: skip
    printed = found.stdout + found.stderr
    assert found.returncode == status, printed
    assert "Traceback" not in printed
    return printed


def full(repo: Path, place: str, size: str, command: str, status: int = 1, **variables: str) -> str:
    (repo / place).mkdir(parents=True, exist_ok=True)
    return with_mount(repo, f"mount -t tmpfs -o size={size} none {place}", command, status, **variables)


def error_of(printed: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("stage", "place", "size"),
    [
        ("prepare", "data/checkpoints", "64k"),  # the features while they are made
        ("prepare", "data/prepared", "8k"),  # captions and pictures
        ("prepare", "reports", "4k"),  # the figure
        ("tokenize_adapt", "data/tokens", "4k"),
        ("train", "data/checkpoints", "64k"),
        ("train", "models", "64k"),
        ("sample", "reports", "8k"),
        ("evaluate", "reports/figures", "8k"),
    ],
)
def test_full_disk_is_a_line_and_the_next_run_is_whole(done: Path, stage: str, place: str, size: str) -> None:
    before = outs(done)
    printed = full(done, place, size, f"$PYTHON -m captioner.stages.{stage}")
    assert "No space left on device" in error_of(printed)
    assert "free some space" in error_of(printed)
    run(done, "dvc", "repro", "-f", "-s", stage.replace("_", "-"))
    assert outs(done) == before


def test_full_disk_under_a_dataset(done: Path, datasets: Path) -> None:
    with changed(done / "params.yaml", f"data_dir: {datasets}", "data_dir: small"):
        printed = full(done, "small", "32k", "$PYTHON -m captioner.stages.prepare")
    assert "free some space" in error_of(printed)


def test_full_disk_under_mlflow_stops_no_training(done: Path) -> None:
    address = "sqlite:///store/mlflow.db"
    printed = full(done, "store", "64k", "$PYTHON -m captioner.stages.train", 0, MLFLOW_TRACKING_URI=address)
    assert "training goes on, evaluate will log it" in printed
    printed = full(done, "store", "64k", "$PYTHON -m captioner.stages.evaluate", 1, MLFLOW_TRACKING_URI=address)
    assert "dvc repro" in error_of(printed)


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate"])
def test_read_only_repository(done: Path, stage: str) -> None:
    before = outs(done)
    read_only = 'mount --bind -o ro "$PWD" "$PWD" && cd "$PWD"'
    assert "ead-only file system" in error_of(with_mount(done, read_only, f"$PYTHON -m captioner.stages.{stage}"))
    assert outs(done) == before
    printed = with_mount(done, read_only, "dvc repro -f -s train", 255)
    assert "ead-only file system" in printed
