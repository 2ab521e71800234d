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
from repository import ROOT, environment, run
from sweeps import SWEEP, make_sweep_repo, rows

pytestmark = pytest.mark.slow
SCRIPT = str(ROOT / "scripts/local_slurm.sh")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the environment needs for Slurm's commands to reach the cluster."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: Debian has them in slurm-wlm and munge")
    if os.geteuid():
        pytest.skip("Slurm's daemons are started as root")
    folder = tmp_path / "slurm"
    started = subprocess.run([SCRIPT, "start", str(folder)], capture_output=True, text=True)
    if started.returncode:
        pytest.skip(f"Slurm does not start: {started.stdout} {started.stderr}")
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run([SCRIPT, "stop", str(folder)], check=True)


def watch_queue(seen: list[str], done: threading.Event, slurm: dict[str, str]) -> None:
    while not done.wait(1):
        for command in (["squeue", "--array"], ["scontrol", "show", "job"]):
            told = subprocess.run(command, env=environment() | slurm, capture_output=True, text=True).stdout
            seen.append(told)


def test_the_same_command_on_a_cluster(tmp_path: Path, datasets: Path, slurm: dict[str, str]) -> None:
    repo = make_sweep_repo(tmp_path / "repo", datasets)
    seen: list[str] = []
    done = threading.Event()
    watcher = threading.Thread(target=watch_queue, args=(seen, done, slurm))
    watcher.start()
    try:
        limits = ("hydra.launcher.timeout_min=30", "hydra.launcher.cpus_per_task=1")
        printed = run(repo, *SWEEP, "model.units=8,16,24", "hydra/launcher=submitit_slurm", *limits, **slurm)
    finally:
        done.set()
        watcher.join()
    assert "FAILED" not in printed
    points = [row for row in rows(repo) if "captioner.run_hash" in row.data.tags]
    assert {row.data.params["model.units"] for row in points} == {"8", "16", "24"}
    assert all("bleu_4" in row.data.metrics for row in points)
    assert len(run(repo, "dvc", "exp", "list", "--name-only").split()) == 3
    # They were Slurm's jobs, in its queue and under the sweep's name.
    (name,) = [path.stem for path in (repo / "reports/sweeps").glob("*.csv")]
    jobs = {number for told in seen for number in re.findall(rf"JobId=(\d+) .*JobName={name}", told)}
    assert len(jobs) == 3
    assert any(re.search(r"main\s+sweep-\S+\s+root\s+R ", told) for told in seen)
