"""A row in MLflow is what happened: (run hash, weights hash), and a finished row never changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.repository import changed, environment, make_repo_with_run, run
from helpers.sweeps import all_runs
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow

WEIGHTS = "hash.train.weights"
OTHER_BITS = {"TF_ENABLE_ONEDNN_OPTS": "0"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository with one run."""
    return make_repo_with_run(tmp_path_factory.mktemp("recorded"), datasets)


def client_of(repo: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")


def trainings(repo: Path) -> list[Run]:
    """Return the runs of trainings, the oldest first."""
    runs = [mlflow_run for mlflow_run in all_runs(repo) if "captioner.run_hash" in mlflow_run.data.tags]
    return sorted(runs, key=lambda mlflow_run: mlflow_run.info.start_time)


def content(repo: Path, mlflow_run: Run) -> tuple[object, ...]:
    """Return everything that the row of a run holds."""
    artifacts = Path(mlflow_run.info.artifact_uri.removeprefix("file://"))
    files = {path: path.read_bytes() for path in sorted(artifacts.rglob("*")) if path.is_file()}
    return mlflow_run.data.params, mlflow_run.data.metrics, mlflow_run.data.tags, mlflow_run.info.status, files


@contextmanager
def foreign_run(repo: Path, like: Run, status: str = "RUNNING", **tags: str) -> Iterator[str]:
    """Create the run of another machine with the same run hash, and delete it at the end."""
    kept = {key: value for key, value in like.data.tags.items() if key.startswith("captioner.")}
    client = client_of(repo)
    run_id = client.create_run(like.info.experiment_id, tags=kept | tags).info.run_id
    client.update_run(run_id, status)
    yield run_id
    if client.get_run(run_id).info.lifecycle_stage == "active":
        client.delete_run(run_id)


def test_rerun_with_equal_bits_adds_no_row(recorded: Path) -> None:
    (before,) = trainings(recorded)
    expected = content(recorded, before)
    run(recorded, "dvc", "repro", "-f")
    (after,) = trainings(recorded)
    assert content(recorded, after) == expected


def test_rerun_with_other_bits_adds_a_row_and_leaves_the_finished_one(recorded: Path) -> None:
    (before,) = trainings(recorded)
    expected = content(recorded, before)
    run(recorded, "dvc", "repro", "-f", "-s", "train", **OTHER_BITS)
    run(recorded, "dvc", "repro", **OTHER_BITS)
    first, second = trainings(recorded)
    assert content(recorded, first) == expected
    assert second.data.tags["captioner.run_hash"] == first.data.tags["captioner.run_hash"]
    assert second.data.tags[WEIGHTS] != first.data.tags[WEIGHTS]
    assert second.data.metrics["bleu_4"] >= 0
    downloaded = client_of(recorded).download_artifacts(second.info.run_id, "environment.json")
    assert json.loads(Path(downloaded).read_text())["variables"]["TF_ENABLE_ONEDNN_OPTS"] == "0"
    printed = run(recorded, "captioner", "reproduce", first.data.tags["captioner.run_hash"], status=1)
    assert "has several runs with different weights" in printed
    assert second.info.run_id in printed


def test_only_bits_differ_names_the_nearest_recorded_environment(recorded: Path) -> None:
    """The rebuild of the second row happens in the environment of the first."""
    first, second = trainings(recorded)
    printed = run(recorded, "captioner", "reproduce", second.info.run_id, status=1)
    assert "environments: variables TF_ENABLE_ONEDNN_OPTS: recorded 0, rebuilt None" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("only bits differ")]
    assert first.info.run_id in line
    assert "its weights are equal to the rebuilt ones" in line


def test_two_rows_of_one_run_hash_do_not_break_evaluate(recorded: Path) -> None:
    first, *_ = trainings(recorded)
    with foreign_run(recorded, first), changed(recorded / "params.yaml", "strategy: beam", "strategy: greedy"):
        (recorded / "mlruns/recorded").unlink()
        run(recorded, "dvc", "repro")
    assert [m.data.params["decode.strategy"] for m in all_runs(recorded) if "captioner.of_run" in m.data.tags] == [
        "greedy"
    ]


def test_unfinished_row_of_another_machine_is_kept(recorded: Path) -> None:
    first, *_ = trainings(recorded)
    with foreign_run(recorded, first) as running:
        run(recorded, "dvc", "repro", "-f", "-s", "train")
        assert client_of(recorded).get_run(running).info.lifecycle_stage == "active"
        run(recorded, "dvc", "repro")


def test_decoding_that_changes_no_caption_is_logged(recorded: Path) -> None:
    run(recorded, "dvc", "repro")
    before = {mlflow_run.info.run_id for mlflow_run in all_runs(recorded)}
    with changed(recorded / "params.yaml", "  batch_size: 128", "  batch_size: 64"):
        run(recorded, "dvc", "repro")
        (new,) = [mlflow_run for mlflow_run in all_runs(recorded) if mlflow_run.info.run_id not in before]
        assert new.data.params["decode.batch_size"] == "64"
        assert "bleu_4" in new.data.metrics


def test_recorded_device_is_that_of_the_backend(recorded: Path, tmp_path: Path) -> None:
    """The machine has a GPU according to its driver, and tensorflow lacks the libraries to use it."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 550.54.15'\n")
    program.chmod(0o755)
    path = f"{tmp_path}:{environment()['PATH']}"
    with changed(recorded / "params.yaml", "  units: 32", "  units: 24"):
        printed = run(recorded, "dvc", "repro", PATH=path)
        newest = trainings(recorded)[-1]
    assert (
        printed.count("warning: this machine has a GPU (NVIDIA H100 80GB HBM3, 550.54.15), but training runs on") == 1
    )
    assert newest.data.params["model.units"] == "24"
    assert "H100" not in newest.data.tags["captioner.device"]


def test_training_that_dvc_did_not_commit_leaves_one_row(recorded: Path) -> None:
    """The stage ends and is run again from its finished checkpoint, as if DVC had been killed in between."""
    with changed(recorded / "params.yaml", "  units: 32", "  units: 20"):
        run(recorded, "python", "-m", "captioner.stages.train", PYTHONPATH="src")
        run(recorded, "dvc", "repro")
        (row,) = [mlflow_run for mlflow_run in trainings(recorded) if mlflow_run.data.params["model.units"] == "20"]
        assert row.data.metrics["bleu_4"] >= 0
    assert (recorded / "data/checkpoints/unfinished_runs.txt").read_text() == ""


def test_row_scored_by_other_code_than_trained_is_logged_anew(recorded: Path) -> None:
    """Otherwise its commit and patch would not give its scores."""
    with changed(recorded / "params.yaml", "  units: 32", "  units: 21"):
        run(recorded, "dvc", "repro", "train")
        with changed(recorded / "src/captioner/score/report/page.css", "}", "} /* mended */"):
            run(recorded, "dvc", "repro")
            (row,) = [mlflow_run for mlflow_run in trainings(recorded) if mlflow_run.data.params["model.units"] == "21"]
            patch = client_of(recorded).download_artifacts(row.info.run_id, "patch.diff")
    assert "/* mended */" in Path(patch).read_text()
    assert row.data.metrics["bleu_4"] >= 0


def test_own_unfinished_row_is_deleted_when_the_result_is_recorded_already(recorded: Path) -> None:
    """The store was away while a recorded training was repeated."""
    run(recorded, "dvc", "repro")
    first, *_ = trainings(recorded)
    with foreign_run(recorded, first) as begun:
        (recorded / "data/checkpoints/unfinished_runs.txt").write_text(f"{begun}\n")
        (recorded / "mlruns/recorded").unlink()
        run(recorded, "dvc", "repro")
        assert client_of(recorded).get_run(begun).info.lifecycle_stage == "deleted"
