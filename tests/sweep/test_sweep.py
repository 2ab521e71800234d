"""Sweeps for real: Hydra multiruns of DVC experiments, tracked in MLflow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.repository import compose, environment, run
from helpers.sweeps import SWEEP_COMMAND, all_runs, count_stage_runs, job_runs, make_sweep_repo, parent_runs
from mlflow import MlflowClient

from captioner.common.paths import Workspace
from captioner.tracking.provenance import output_hashes

pytestmark = pytest.mark.slow

GRID = ("text.vocab_size=30,40,1000", "model.attention_dim=8,16,32")


def run_ids(repo: Path) -> set[str]:
    return {row.info.run_id for row in all_runs(repo)}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository in which a sweep of 3 x 3 jobs has run; the file ``printed`` holds its output."""
    repo = make_sweep_repo(tmp_path_factory.mktemp("swept"), datasets)
    (repo / "printed").write_text(run(repo, *SWEEP_COMMAND, *GRID))
    return repo


def test_nine_jobs_make_nine_experiments_and_ten_runs_and_share_stages(swept: Path) -> None:
    stage_runs = count_stage_runs(swept)
    assert (stage_runs["prepare"], stage_runs["tokenize-adapt"], stage_runs["train"]) == (1, 3, 9)
    assert len(run(swept, "dvc", "exp", "list", "--name-only").split()) == 9
    parents, jobs = parent_runs(swept), job_runs(swept)
    assert (len(parents), len(jobs)) == (1, 9)
    assert {row.data.tags["mlflow.parentRunId"] for row in jobs} == {parents[0].info.run_id}
    assert {row.info.status for row in all_runs(swept)} == {"FINISHED"}
    settings = {(row.data.params["text.vocab_size"], row.data.params["model.attention_dim"]) for row in jobs}
    assert len(settings) == 9


def test_table_is_printed_written_and_logged(swept: Path) -> None:
    (table,) = (swept / "reports/sweeps").glob("*.csv")
    lines = table.read_text().splitlines()
    assert lines[0].startswith("text.vocab_size,model.attention_dim,bleu_4")
    assert len(lines) == 10
    printed = (swept / "printed").read_text()
    for line in lines[1:]:
        assert line.rpartition(",")[2] in printed
    (parent,) = parent_runs(swept)
    client = MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    suffixes = {Path(artifact.path).suffix for artifact in client.list_artifacts(parent.info.run_id)}
    assert suffixes == {".csv", ".md", ".png"}
    # The sweep changed none of the user's files.
    assert run(swept, "git", "status", "--short").split() == ["??", "printed", "??", "reports/sweeps/"]


def test_repeated_sweep_computes_nothing_and_adds_no_runs(swept: Path) -> None:
    before = run_ids(swept)
    printed = run(swept, *SWEEP_COMMAND, *GRID)
    assert printed.count("(already computed)") == 9
    assert not count_stage_runs(swept)
    assert run_ids(swept) == before


def test_captioner_sweep_is_the_same_sweep(swept: Path) -> None:
    before = run_ids(swept)
    printed = run(swept, "captioner", "sweep", *SWEEP_COMMAND[4:], *GRID)
    assert printed.count("(already computed)") == 9
    assert run_ids(swept) == before


def test_experiment_of_a_job_can_be_applied(swept: Path) -> None:
    name = run(swept, "dvc", "exp", "list", "--name-only").split()[0]
    run(swept, "dvc", "exp", "apply", name)
    assert "Running stage 'train'" not in run(swept, "dvc", "repro")
    run(swept, "git", "checkout", "-q", ".")


def test_failed_job_is_reported_and_other_jobs_run(swept: Path) -> None:
    printed = run(swept, *SWEEP_COMMAND, "text.vocab_size=3,40", "model.attention_dim=8", status=1)
    assert "text.vocab_size is 3; input should be greater than 4" in printed
    assert "failed: experiment=tiny text.vocab_size=3" in printed
    assert "text.vocab_size=40 model.attention_dim=8: bleu_4" in printed
    assert "Traceback" not in printed


def test_running_sweep_is_not_started_again(swept: Path) -> None:
    command = (*SWEEP_COMMAND, "text.vocab_size=41,42")
    first = subprocess.Popen(
        command, cwd=swept, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert first.stdout and "see .dvc" in first.stdout.readline()
    assert "is running already" in run(swept, *command, status=1)
    os.killpg(first.pid, signal.SIGINT)  # as Ctrl-C does
    first.communicate()
    assert first.returncode == 1
    # If a job was training, its run was killed as well, so only the parents are counted.
    assert len([row for row in parent_runs(swept) if row.info.status == "KILLED"]) == 1


def test_preset_defines_a_sweep(swept: Path) -> None:
    preset = "# @package _global_\nhydra: {sweeper: {params: {model.attention_dim: '8,16', text.vocab_size: '40'}}}\n"
    (swept / "conf/sweep/mine.yaml").write_text(preset)
    printed = run(swept, *SWEEP_COMMAND, "sweep=mine")
    (swept / "conf/sweep/mine.yaml").unlink()
    assert printed.count("bleu_4 0.") == 2


@pytest.mark.parametrize("command", [SWEEP_COMMAND[:3], (*SWEEP_COMMAND[:4], "model.atention_dim=1,2")])
def test_invalid_command_is_an_error_and_adds_no_runs(swept: Path, command: tuple[str, ...]) -> None:
    before = run_ids(swept)
    assert "Traceback" not in run(swept, *command, status=1)
    assert run_ids(swept) == before


def test_sweep_killed_three_times_ends_complete(tmp_path: Path, datasets: Path) -> None:
    repo = make_sweep_repo(tmp_path, datasets)
    command = (*SWEEP_COMMAND, "text.vocab_size=40", "model.attention_dim=8,16,32")
    for line in ("Running stage 'prepare'", "Running stage 'train'", "Running stage 'evaluate'"):
        kill_when_logged(repo, command, line)
    printed = run(repo, *command)
    assert "FAILED" not in printed
    jobs = job_runs(repo)
    assert len(jobs) == 3
    assert all("bleu_4" in row.data.metrics for row in jobs)
    assert not list((repo / ".dvc/tmp/sweeps/jobs").iterdir())
    assert "hashes are equal" in run(repo, "captioner", "reproduce", jobs[0].data.tags["captioner.run_hash"][:10])


def test_two_sweeps_at_once_compute_a_shared_job_once(tmp_path: Path, datasets: Path) -> None:
    """Run two sweeps at the same time, and check that a second start of the first one is rejected meanwhile."""
    repo = make_sweep_repo(tmp_path, datasets)
    first, second = ("text.vocab_size=30,40",), ("text.vocab_size=40,1000",)
    processes = [
        subprocess.Popen([*SWEEP_COMMAND, *overrides], cwd=repo, env=environment(), stdout=subprocess.PIPE, text=True)
        for overrides in (first, second)
    ]
    while len(list((repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log"))) < 2:
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.2)
    assert "is running already: wait for it, or stop it" in run(repo, *SWEEP_COMMAND, *first, status=1)
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    assert sorted(row.data.params["text.vocab_size"] for row in job_runs(repo)) == ["1000", "30", "40"]
    assert count_stage_runs(repo)["train"] == 3


def kill_when_logged(repo: Path, command: tuple[str, ...], text: str) -> None:
    """Start a sweep, and send SIGKILL to all its processes as soon as the log of a job contains ``text``."""
    process = subprocess.Popen(command, cwd=repo, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        logs = (repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log")
        if any(text in log.read_text() for log in logs):
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.2)
    process.wait()
    assert process.returncode == -signal.SIGKILL


def test_dvc_queue_makes_the_same_runs(tmp_path: Path, datasets: Path) -> None:
    """Start two workers at the same moment, while there is no database yet."""
    repo = make_sweep_repo(tmp_path, datasets)
    run(repo, "dvc", "exp", "run", "--queue", "-S", "experiment=tiny", "-S", "text.vocab_size=30,40")
    run(repo, "dvc", "queue", "start", "-j", "2")
    while re.search("Queued|Running", run(repo, "dvc", "queue", "status")):
        time.sleep(1)
    queued = {row.data.tags["captioner.run_hash"] for row in all_runs(repo)}
    assert len(queued) == len(all_runs(repo)) == 2
    run(repo, *SWEEP_COMMAND, "text.vocab_size=30,40")
    assert {row.data.tags.get("captioner.run_hash") for row in all_runs(repo)} == {*queued, None}
    assert len(all_runs(repo)) == 3


def test_twenty_jobs_in_three_processes(tmp_path: Path, datasets: Path) -> None:
    """Check that no run is lost or doubled in the sqlite database, and that a job's outputs do not depend on others."""
    repo = make_sweep_repo(tmp_path, datasets)
    units = ",".join(str(number) for number in range(8, 28))
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=3")
    printed = run(repo, *SWEEP_COMMAND, f"model.units={units}", *joblib)
    assert "FAILED" not in printed
    assert "locked" not in printed
    stage_runs = count_stage_runs(repo)
    assert (stage_runs["prepare"], stage_runs["tokenize-adapt"], stage_runs["train"]) == (1, 1, 20)
    jobs = job_runs(repo)
    assert sorted(int(row.data.params["model.units"]) for row in jobs) == list(range(8, 28))
    assert all("bleu_4" in row.data.metrics for row in jobs)
    for row in jobs[::4]:
        # A training without the other jobs, with all cores, and not from DVC's cache, gives the same weights.
        compose(repo, "experiment=tiny", f"model.units={row.data.params['model.units']}")
        assert "Running stage 'train'" in run(repo, "dvc", "repro", "--no-run-cache", "train")
        assert output_hashes(Workspace(repo))["train.weights"] == row.data.tags["hash.train.weights"]
