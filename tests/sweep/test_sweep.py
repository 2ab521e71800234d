"""Sweeps for real: Hydra multiruns of DVC experiments, tracked in MLflow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from repository import compose, environment, run
from sweeps import SWEEP, make_sweep_repo, rows, stages_run

from captioner.track.record import output_hashes

pytestmark = pytest.mark.slow

GRID = ("text.vocab_size=30,40,1000", "model.attention_dim=8,16,32")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """A repository in which a sweep of 3 x 3 points has run."""
    repo = make_sweep_repo(tmp_path_factory.mktemp("swept"), datasets)
    (repo / "printed").write_text(run(repo, *SWEEP, *GRID))
    return repo


def test_nine_experiments_ten_runs_and_shared_work_done_once(swept: Path) -> None:
    ran = stages_run(swept)
    assert (ran["prepare"], ran["tokenize-adapt"], ran["train"]) == (1, 3, 9)
    assert len(run(swept, "dvc", "exp", "list", "--name-only").split()) == 9
    parents = [row for row in rows(swept) if "captioner.sweep" in row.data.tags]
    points = [row for row in rows(swept) if "captioner.run_hash" in row.data.tags]
    assert (len(parents), len(points)) == (1, 9)
    assert {row.data.tags["mlflow.parentRunId"] for row in points} == {parents[0].info.run_id}
    assert {row.info.status for row in rows(swept)} == {"FINISHED"}
    settings = {(row.data.params["text.vocab_size"], row.data.params["model.attention_dim"]) for row in points}
    assert len(settings) == 9


def test_the_table_is_printed_and_written_and_logged(swept: Path) -> None:
    (table,) = (swept / "reports/sweeps").glob("*.csv")
    lines = table.read_text().splitlines()
    assert lines[0].startswith("text.vocab_size,model.attention_dim,bleu_4")
    assert len(lines) == 10
    printed = (swept / "printed").read_text()
    for line in lines[1:]:
        assert line.rpartition(",")[2] in printed
    (parent,) = [row for row in rows(swept) if "captioner.sweep" in row.data.tags]
    client = MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    suffixes = {Path(artifact.path).suffix for artifact in client.list_artifacts(parent.info.run_id)}
    assert suffixes == {".csv", ".md", ".png"}
    # Nothing of the user's was touched.
    assert run(swept, "git", "status", "--short").split() == ["??", "printed", "??", "reports/sweeps/"]


def test_the_same_again_computes_nothing_and_adds_no_rows(swept: Path) -> None:
    before = {row.info.run_id for row in rows(swept)}
    printed = run(swept, *SWEEP, *GRID)
    assert printed.count("(known)") == 9
    assert not stages_run(swept)
    assert {row.info.run_id for row in rows(swept)} == before


def test_an_experiment_can_be_applied(swept: Path) -> None:
    name = run(swept, "dvc", "exp", "list", "--name-only").split()[0]
    run(swept, "dvc", "exp", "apply", name)
    assert "Running stage 'train'" not in run(swept, "dvc", "repro")
    run(swept, "git", "checkout", "-q", ".")


def test_a_point_that_fails_is_told_and_the_others_go_on(swept: Path) -> None:
    printed = run(swept, *SWEEP, "text.vocab_size=3,40", "model.attention_dim=8", status=1)
    assert "text.vocab_size is 3; input should be greater than 4" in printed
    assert "failed: experiment=tiny text.vocab_size=3" in printed
    assert "text.vocab_size=40 model.attention_dim=8: bleu_4" in printed
    assert "Traceback" not in printed


def test_a_sweep_that_is_running_is_not_started_again(swept: Path) -> None:
    command = (*SWEEP, "text.vocab_size=41,42")
    first = subprocess.Popen(
        command, cwd=swept, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert first.stdout and "see .dvc" in first.stdout.readline()
    assert "is running already" in run(swept, *command, status=1)
    os.killpg(first.pid, signal.SIGINT)  # as Ctrl-C does
    first.communicate()
    assert first.returncode == 1
    # A point may have been in its training: that run was killed as well.
    killed = [row for row in rows(swept) if row.info.status == "KILLED"]
    assert len([row for row in killed if "captioner.sweep" in row.data.tags]) == 1


def test_a_preset_is_a_sweep(swept: Path) -> None:
    preset = "# @package _global_\nhydra: {sweeper: {params: {model.attention_dim: '8,16', text.vocab_size: '40'}}}\n"
    (swept / "conf/sweep/mine.yaml").write_text(preset)
    printed = run(swept, *SWEEP, "sweep=mine")
    (swept / "conf/sweep/mine.yaml").unlink()
    assert printed.count("bleu_4 0.") == 2


@pytest.mark.parametrize("command", [SWEEP[:3], (*SWEEP[:4], "model.atention_dim=1,2")])
def test_what_makes_no_sense_is_an_error(swept: Path, command: tuple[str, ...]) -> None:
    before = {row.info.run_id for row in rows(swept)}
    assert "Traceback" not in run(swept, *command, status=1)
    assert {row.info.run_id for row in rows(swept)} == before


def test_a_sweep_killed_three_times_ends_complete(tmp_path: Path, datasets: Path) -> None:
    repo = make_sweep_repo(tmp_path, datasets)
    command = (*SWEEP, "text.vocab_size=40", "model.attention_dim=8,16,32")
    for sign in ("Running stage 'prepare'", "Running stage 'train'", "Running stage 'evaluate'"):
        kill_at(repo, command, sign)
    printed = run(repo, *command)
    assert "FAILED" not in printed
    points = [row for row in rows(repo) if "captioner.run_hash" in row.data.tags]
    assert len(points) == 3
    assert all("bleu_4" in row.data.metrics for row in points)
    assert not list((repo / ".dvc/tmp/sweeps/points").iterdir())
    assert "hashes are equal" in run(repo, "captioner", "reproduce", points[0].data.tags["captioner.run_hash"][:10])


def test_two_sweeps_at_once(tmp_path: Path, datasets: Path) -> None:
    """They share a point, which is computed once; the same sweep does not start a second time meanwhile."""
    repo = make_sweep_repo(tmp_path, datasets)
    first, second = ("text.vocab_size=30,40",), ("text.vocab_size=40,1000",)
    both = [
        subprocess.Popen([*SWEEP, *points], cwd=repo, env=environment(), stdout=subprocess.PIPE, text=True)
        for points in (first, second)
    ]
    while len(list((repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log"))) < 2:
        assert [process.poll() for process in both] == [None, None]
        time.sleep(0.2)
    assert "is running already: wait for it, or stop it" in run(repo, *SWEEP, *first, status=1)
    for process in both:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    points = [row.data.params["text.vocab_size"] for row in rows(repo) if "captioner.run_hash" in row.data.tags]
    assert sorted(points) == ["1000", "30", "40"]
    assert stages_run(repo)["train"] == 3


def kill_at(repo: Path, command: tuple[str, ...], sign: str) -> None:
    """SIGKILLs the sweep and all that it started as soon as a point's log shows ``sign``."""
    process = subprocess.Popen(command, cwd=repo, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        logs = (repo / ".dvc/tmp/sweeps").glob("sweep-*/*.log")
        if any(sign in log.read_text() for log in logs):
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.2)
    process.wait()
    assert process.returncode == -signal.SIGKILL


def test_the_queue_gives_the_same_runs(tmp_path: Path, datasets: Path) -> None:
    """Two workers that start at the same moment, with no database yet."""
    repo = make_sweep_repo(tmp_path, datasets)
    run(repo, "dvc", "exp", "run", "--queue", "-S", "experiment=tiny", "-S", "text.vocab_size=30,40")
    run(repo, "dvc", "queue", "start", "-j", "2")
    while re.search("Queued|Running", run(repo, "dvc", "queue", "status")):
        time.sleep(1)
    queued = {row.data.tags["captioner.run_hash"] for row in rows(repo)}
    assert len(queued) == len(rows(repo)) == 2
    run(repo, *SWEEP, "text.vocab_size=30,40")
    assert {row.data.tags.get("captioner.run_hash") for row in rows(repo)} == {*queued, None}
    assert len(rows(repo)) == 3


def test_twenty_points_in_three_processes(tmp_path: Path, datasets: Path) -> None:
    """One sqlite database, no lost or doubled run, and what a point computes does not depend on the others."""
    repo = make_sweep_repo(tmp_path, datasets)
    units = ",".join(str(number) for number in range(8, 28))
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=3")
    printed = run(repo, *SWEEP, f"model.units={units}", *joblib)
    assert "FAILED" not in printed
    assert "locked" not in printed
    ran = stages_run(repo)
    assert (ran["prepare"], ran["tokenize-adapt"], ran["train"]) == (1, 1, 20)
    points = [row for row in rows(repo) if "captioner.run_hash" in row.data.tags]
    assert sorted(int(row.data.params["model.units"]) for row in points) == list(range(8, 28))
    assert all("bleu_4" in row.data.metrics for row in points)
    for row in points[::4]:
        # Trained again alone, with all cores, and not from DVC's cache: the same weights.
        compose(repo, "experiment=tiny", f"model.units={row.data.params['model.units']}")
        assert "Running stage 'train'" in run(repo, "dvc", "repro", "--no-run-cache", "train")
        assert output_hashes(repo)["train.weights"] == row.data.tags["hash.train.weights"]
