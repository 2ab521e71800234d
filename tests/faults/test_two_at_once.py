"""Two processes that work on the same files at the same time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.repository import SMALL, compose, environment, make_repo, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("line_prefix", ["Running stage 'prepare'", "run "])
def test_second_dvc_repro_names_the_first_and_ends(line_prefix: str, tmp_path: Path, datasets: Path) -> None:
    repo = make_repo(tmp_path)
    compose(repo, *SMALL, f"data.data_dir={datasets}")
    first = subprocess.Popen(
        ["dvc", "repro"], cwd=repo, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith(line_prefix):
            break
    printed = run(repo, "dvc", "repro", status=255)
    assert str(first.pid) in printed
    assert "Traceback" not in printed
    rest = first.stdout.read()
    assert first.wait() == 0, rest
    assert "is up to date" in run(repo, "dvc", "repro") or "didn't change" in run(repo, "dvc", "repro")


def test_two_processes_make_the_same_dataset(tmp_path: Path) -> None:
    """Prepare one dataset in two repositories at once, as jobs of a sweep with different CNNs do."""
    repos = [make_repo(tmp_path / name) for name in ("first", "second")]
    for repo in repos:
        compose(repo, *SMALL, f"data.data_dir={tmp_path / 'datasets'}")
    processes = [
        subprocess.Popen(
            ["python", "-m", "captioner.stages.prepare"], cwd=repo, env=environment() | {"PYTHONPATH": "src"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for repo in repos
    ]  # fmt: skip
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    first, second = ((repo / "data/prepared/features/val.npy").read_bytes() for repo in repos)
    assert first == second
