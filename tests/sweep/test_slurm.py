"""A sweep on a real Slurm cluster of one node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.repository import ROOT, environment, run
from helpers.sweeps import SWEEP_COMMAND, job_runs, make_sweep_repo

pytestmark = pytest.mark.slow
SCRIPT = str(ROOT / "scripts/local_slurm.sh")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a cluster, and yield the environment variables with which Slurm's commands reach it."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} are missing: on Debian, install slurm-wlm and munge")
    if os.geteuid():
        pytest.skip("Slurm's daemons must be started as root")
    folder = tmp_path / "slurm"
    process = subprocess.run([SCRIPT, "start", str(folder)], capture_output=True, text=True)
    if process.returncode:
        pytest.skip(f"Slurm does not start: {process.stdout} {process.stderr}")
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run([SCRIPT, "stop", str(folder)], check=True)


def poll_queue(outputs: list[str], finished: threading.Event, slurm: dict[str, str]) -> None:
    """Append what Slurm prints about its queue once a second."""
    while not finished.wait(1):
        for command in (["squeue", "--array"], ["scontrol", "show", "job"]):
            process = subprocess.run(command, env=environment() | slurm, capture_output=True, text=True)
            outputs.append(process.stdout)


def test_sweep_on_a_cluster(tmp_path: Path, datasets: Path, slurm: dict[str, str]) -> None:
    repo = make_sweep_repo(tmp_path / "repo", datasets)
    outputs: list[str] = []
    finished = threading.Event()
    poller = threading.Thread(target=poll_queue, args=(outputs, finished, slurm))
    poller.start()
    try:
        limits = ("hydra.launcher.timeout_min=30", "hydra.launcher.cpus_per_task=1")
        launcher = ("hydra/launcher=submitit_slurm", *limits)
        printed = run(repo, *SWEEP_COMMAND, "model.units=8,16,24", *launcher, **slurm)
    finally:
        finished.set()
        poller.join()
    assert "FAILED" not in printed
    runs = job_runs(repo)
    assert {row.data.params["model.units"] for row in runs} == {"8", "16", "24"}
    assert all("bleu_4" in row.data.metrics for row in runs)
    assert len(run(repo, "dvc", "exp", "list", "--name-only").split()) == 3
    # Slurm's queue held them as jobs with the sweep's name.
    (name,) = [path.stem for path in (repo / "reports/sweeps").glob("*.csv")]
    job_ids = {number for output in outputs for number in re.findall(rf"JobId=(\d+) .*JobName={name}", output)}
    assert len(job_ids) == 3
    assert any(re.search(r"main\s+sweep-\S+\s+root\s+R ", output) for output in outputs)
