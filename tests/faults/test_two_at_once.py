"""Two `dvc repro` in one workspace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from repository import SMALL, compose, environment, make_repo, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("begun", ["Running stage 'prepare'", "run "])
def test_the_second_says_who_is_at_work_and_leaves(begun: str, tmp_path: Path, datasets: Path) -> None:
    repo = make_repo(tmp_path)
    compose(repo, *SMALL, f"data.data_dir={datasets}")
    first = subprocess.Popen(
        ["dvc", "repro"], cwd=repo, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith(begun):
            break
    printed = run(repo, "dvc", "repro", status=255)
    assert str(first.pid) in printed
    assert "Traceback" not in printed
    rest = first.stdout.read()
    assert first.wait() == 0, rest
    assert "is up to date" in run(repo, "dvc", "repro") or "didn't change" in run(repo, "dvc", "repro")
