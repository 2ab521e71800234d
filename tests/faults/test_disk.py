"""A full disk and a read-only one, for real: small tmpfs mounts in a separate mount namespace."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import changed, environment, make_repo_with_run, read_outs_in_lock, run
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

UNSHARE = ("unshare", "--mount", "--map-root-user")
REMAINING = "remaining: "


@pytest.fixture(scope="module", autouse=True)
def _can_mount() -> None:
    try:
        subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine does not allow mount namespaces: {error}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository in which the pipeline has run."""
    return make_repo_with_run(tmp_path_factory.mktemp("disk"), datasets)


def run_in_namespace(repo: Path, script: str, **variables: str) -> str:
    """Run a shell script whose mounts no other process sees, and return its output. $PYTHON runs the project."""
    process = subprocess.run(
        [*UNSHARE, "sh", "-ec", script], cwd=repo, capture_output=True, text=True, check=False,
        env=environment() | {"PYTHONPATH": "src", "PYTHON": sys.executable} | variables,
    )  # fmt: skip
    printed = process.stdout + process.stderr
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    return printed


def error_line(printed: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line


def remaining_files(printed: str) -> list[str]:
    """Return the files that the script listed on the full disk after the error."""
    return [line.removeprefix(REMAINING) for line in printed.splitlines() if line.startswith(REMAINING)]


@pytest.mark.parametrize(
    ("stage", "folder", "size", "remaining"),
    [  # remaining: files on the full disk after the error; None: not checked
        ("prepare", "data/checkpoints", "64k", []),  # unfinished features
        ("prepare", "data/prepared", "8k", None),  # captions and images
        ("prepare", "reports", "4k", None),  # the figure
        ("tokenize_adapt", "data/tokens", "4k", None),
        ("train", "data/checkpoints", "64k", ["unfinished_runs.txt"]),  # no part of a checkpoint
        ("train", "models", "64k", []),
        ("sample", "reports", "8k", None),
        ("evaluate", "reports/figures", "8k", None),
    ],
)
def test_full_disk_gives_one_error_line_and_the_next_run_completes(
    trained: Path, stage: str, folder: str, size: str, remaining: list[str] | None
) -> None:
    """Fill the disk, enlarge it, and run the stage again with everything that the first run left there."""
    expected = read_outs_in_lock(trained)
    (trained / folder).mkdir(parents=True, exist_ok=True)
    # data/tokens is itself an out; the other folders contain outs. DVC removes outs first, and cannot remove a mount.
    enlarge = f"umount {folder}" if folder == "data/tokens" else f"mount -o remount,size=300m {folder}"
    script = f"""
        mount -t tmpfs -o size={size} none {folder}
        ! $PYTHON -m captioner.stages.{stage}
        find {folder} -type f -printf '{REMAINING}%P\\n'
        {enlarge}
        dvc repro -f -s {stage.replace("_", "-")}
    """
    printed = run_in_namespace(trained, script)
    assert "No space left on device" in error_line(printed)
    assert "free some space" in error_line(printed)
    if remaining is not None:
        assert remaining_files(printed) == remaining
    if (stage, folder) == ("train", "models"):
        assert "the model is written again" in printed, "the checkpoint was lost"
    assert read_outs_in_lock(trained) == expected
    run(trained, "dvc", "checkout")  # the outs that were written to the mount are gone with it


def test_full_disk_while_a_dataset_is_written(trained: Path, datasets: Path) -> None:
    (trained / "small").mkdir()
    with changed(trained / "params.yaml", f"data_dir: {datasets}", "data_dir: small"):
        printed = run_in_namespace(
            trained,
            f"""
            mount -t tmpfs -o size=32k none small
            ! $PYTHON -m captioner.stages.prepare
            find small -type f -printf '{REMAINING}%P\\n'
            """,
        )
    assert "free some space" in error_line(printed)
    assert remaining_files(printed) == [], "TFDS did not remove the unfinished dataset"


def test_full_disk_under_mlflow_does_not_stop_training(trained: Path) -> None:
    address = f"sqlite:///{trained}/store/mlflow.db"
    (trained / "store").mkdir()
    with changed(trained / "params.yaml", "units: 32", "units: 33"):
        printed = run_in_namespace(
            trained,
            """
            mount -t tmpfs -o size=64k none store
            ! dvc repro
            mount -o remount,size=100m store
            dvc repro
            cp store/mlflow.db copy.db
            """,
            MLFLOW_TRACKING_URI=address,
        )
    assert "training continues, evaluate will log it" in printed
    assert "dvc repro" in error_line(printed)
    assert printed.count("captioner.stages.train") == 1  # the second `dvc repro` did not train again
    (row,) = MlflowClient(f"sqlite:///{trained}/copy.db").search_runs(["1"])
    assert row.info.status == "FINISHED"
    assert {"bleu_4", "val_loss"} <= row.data.metrics.keys()
    run(trained, "dvc", "repro")


def test_prepare_works_on_a_file_system_that_cannot_reserve_space(trained: Path) -> None:
    expected = read_outs_in_lock(trained)
    # ramfs does not support fallocate.
    script = "mkdir -p data/checkpoints; mount -t ramfs none data/checkpoints; dvc repro -f -s prepare"
    run_in_namespace(trained, script)
    assert read_outs_in_lock(trained) == expected


def hash_files(repo: Path) -> dict[str, str]:
    """Return the hash of each file, except those of git and DVC."""
    files = [path for path in repo.rglob("*") if path.is_file() and not {".git", ".dvc"} & set(path.parts)]
    return {str(path.relative_to(repo)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("command", ["$PYTHON -m captioner.stages.prepare", "$PYTHON -m captioner.stages.train",
                                     "$PYTHON -m captioner.stages.evaluate", "dvc repro -f -s train"])  # fmt: skip
def test_read_only_repository_is_unchanged(trained: Path, command: str) -> None:
    before = hash_files(trained)
    printed = run_in_namespace(trained, f'mount --bind -o ro "$PWD" "$PWD"; cd "$PWD"; ! {command}')
    assert "read-only file system" in printed.lower()
    assert hash_files(trained) == before
