"""A full disk and a read-only one, for real: small tmpfs mounts in a mount namespace of the test's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from repository import SMALL, changed, compose, environment, make_repo, run

pytestmark = pytest.mark.slow

UNSHARE = ("unshare", "--mount", "--map-root-user")
LEFT = "left behind: "


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


def in_namespace(repo: Path, script: str, **variables: str) -> str:
    """What a shell script printed whose mounts nobody else sees; $PYTHON runs the project."""
    found = subprocess.run(
        [*UNSHARE, "sh", "-ec", script], cwd=repo, capture_output=True, text=True, check=False,
        env=environment() | {"PYTHONPATH": "src", "PYTHON": sys.executable} | variables,
    )  # fmt: skip
    printed = found.stdout + found.stderr
    assert found.returncode == 0, printed
    assert "Traceback" not in printed
    return printed


def error_of(printed: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line


def left_behind(printed: str) -> list[str]:
    """The files that lay on the full disk after the error."""
    return [line.removeprefix(LEFT) for line in printed.splitlines() if line.startswith(LEFT)]


@pytest.mark.parametrize(
    ("stage", "place", "size", "left"),
    [
        ("prepare", "data/checkpoints", "64k", []),  # the features while they are made
        ("prepare", "data/prepared", "8k", None),  # captions and pictures
        ("prepare", "reports", "4k", None),  # the figure
        ("tokenize_adapt", "data/tokens", "4k", None),
        ("train", "data/checkpoints", "64k", []),
        ("train", "models", "64k", []),
        ("sample", "reports", "8k", None),
        ("evaluate", "reports/figures", "8k", None),
    ],
)
def test_full_disk_is_a_line_and_the_next_run_is_whole(
    done: Path, stage: str, place: str, size: str, left: list[str] | None
) -> None:
    """The next run is one on the same disk, once there is room, with all that the first left there."""
    before = outs(done)
    (done / place).mkdir(parents=True, exist_ok=True)
    # DVC removes an out before its stage, and data/tokens as a whole is one: it cannot remain a mount.
    room = f"umount {place}" if place == "data/tokens" else f"mount -o remount,size=300m {place}"
    script = f"""
        mount -t tmpfs -o size={size} none {place}
        ! $PYTHON -m captioner.stages.{stage}
        find {place} -type f -printf '{LEFT}%P\\n'
        {room}
        dvc repro -f -s {stage.replace("_", "-")}
    """
    printed = in_namespace(done, script)
    assert "No space left on device" in error_of(printed)
    assert "free some space" in error_of(printed)
    if left is not None:
        assert left_behind(printed) == left
    if (stage, place) == ("train", "models"):
        assert "going on from epoch" in printed, "the checkpoint stayed"
    assert outs(done) == before
    run(done, "dvc", "checkout")  # what the mount took with it


def test_full_disk_under_a_dataset(done: Path, datasets: Path) -> None:
    (done / "small").mkdir()
    with changed(done / "params.yaml", f"data_dir: {datasets}", "data_dir: small"):
        printed = in_namespace(
            done,
            f"""
            mount -t tmpfs -o size=32k none small
            ! $PYTHON -m captioner.stages.prepare
            find small -type f -printf '{LEFT}%P\\n'
            """,
        )
    assert "free some space" in error_of(printed)
    assert left_behind(printed) == [], "TFDS took back what it had begun"


def test_full_disk_under_mlflow_stops_no_training(done: Path) -> None:
    address = f"sqlite:///{done}/store/mlflow.db"
    (done / "store").mkdir()
    with changed(done / "params.yaml", "units: 32", "units: 33"):
        printed = in_namespace(
            done,
            """
            mount -t tmpfs -o size=64k none store
            ! dvc repro
            mount -o remount,size=100m store
            dvc repro
            cp store/mlflow.db kept.db
            """,
            MLFLOW_TRACKING_URI=address,
        )
    assert "training goes on, evaluate will log it" in printed
    assert "dvc repro" in error_of(printed)
    assert printed.count("captioner.stages.train") == 1
    (row,) = MlflowClient(f"sqlite:///{done}/kept.db").search_runs(["1"])
    assert row.info.status == "FINISHED"
    assert {"bleu_4", "val_loss"} <= row.data.metrics.keys()
    run(done, "dvc", "repro")


def test_a_file_system_that_cannot_reserve_room(done: Path) -> None:
    before = outs(done)
    in_namespace(done, "mkdir -p data/checkpoints; mount -t ramfs none data/checkpoints; dvc repro -f -s prepare")
    assert outs(done) == before


def files_of(repo: Path) -> dict[str, str]:
    """Every file's hash, but for git's and DVC's own."""
    files = [path for path in repo.rglob("*") if path.is_file() and not {".git", ".dvc"} & set(path.parts)]
    return {str(path.relative_to(repo)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("command", ["$PYTHON -m captioner.stages.prepare", "$PYTHON -m captioner.stages.train",
                                     "$PYTHON -m captioner.stages.evaluate", "dvc repro -f -s train"])  # fmt: skip
def test_read_only_repository(done: Path, command: str) -> None:
    before = files_of(done)
    printed = in_namespace(done, f'mount --bind -o ro "$PWD" "$PWD"; cd "$PWD"; ! {command}')
    assert "ead-only file system" in printed
    assert files_of(done) == before
