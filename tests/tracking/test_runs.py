"""Runs in MLflow are complete at the end, whatever happens to the store."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from helpers.repository import changed, make_repo_with_run, run
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow

ARTIFACTS = {
    *("captioner", "vocabulary.txt", "params.yaml", "dvc.lock", "identity.json", "environment.json", "patch.diff"),
    *("captions.json", "metrics.json", "intervals.json", "per_image.csv", "index.html", "figures", "skipped.csv"),
}
METRICS = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "val_loss", "loss", "learning_rate"}
CLIENT_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository with one run."""
    return make_repo_with_run(tmp_path_factory.mktemp("tracked"), datasets)


def make_client(database: Path) -> MlflowClient:
    """Return a client with a new connection. For a known address MLflow would reuse one, even to a removed file."""
    return MlflowClient(f"sqlite:///{database.parent}{'/.' * next(CLIENT_NUMBERS)}/{database.name}")


def search_runs(repo: Path, database: str = "mlflow.db") -> list[Run]:
    client = make_client(repo / database)
    return list(client.search_runs([client.get_experiment_by_name("captioner").experiment_id]))


def artifact_names(repo: Path, mlflow_run: Run) -> set[str]:
    client = make_client(repo / "mlflow.db")
    return {artifact.path for artifact in client.list_artifacts(mlflow_run.info.run_id)}


def output_hash_tags(mlflow_run: Run) -> dict[str, str]:
    return {key: value for key, value in mlflow_run.data.tags.items() if key.startswith("hash.")}


def remove_store(repo: Path) -> None:
    for path in repo.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(repo / "mlruns")


def test_new_database_gets_the_run_without_training(tracked: Path) -> None:
    (original,) = search_runs(tracked)
    remove_store(tracked)
    printed = run(tracked, "dvc", "repro")
    assert "stages.train" not in printed
    assert "stages.evaluate" in printed
    (restored,) = search_runs(tracked)
    assert restored.info.status == "FINISHED"
    assert restored.info.run_name == original.info.run_name
    assert restored.data.params == original.data.params
    reproducible = {key: value for key, value in original.data.metrics.items() if key != "captions_per_second"}
    assert restored.data.metrics == reproducible
    assert set(restored.data.metrics) >= METRICS
    assert artifact_names(tracked, restored) == ARTIFACTS
    assert output_hash_tags(restored) == output_hash_tags(original)
    history = make_client(tracked / "mlflow.db").get_metric_history(restored.info.run_id, "step_loss")
    assert [metric.step for metric in history] == list(range(1, 7))


def test_outputs_from_the_cache_are_logged(tracked: Path) -> None:
    with changed(tracked / "params.yaml", "units: 32", "units: 40"):
        run(tracked, "dvc", "repro")
        remove_store(tracked)
    printed = run(tracked, "dvc", "repro")
    assert "Stage 'train' is cached" in printed
    (restored,) = search_runs(tracked)
    assert restored.data.params["model.units"] == "32"
    assert set(restored.data.metrics) >= METRICS


def test_another_decoding_is_a_child_and_leaves_the_first_run_unchanged(tracked: Path) -> None:
    (first,) = search_runs(tracked)
    with changed(tracked / "params.yaml", "strategy: beam", "strategy: greedy"):
        run(tracked, "dvc", "repro")
    run(tracked, "dvc", "repro")
    runs = search_runs(tracked)
    assert len(runs) == 2
    (child,) = [mlflow_run for mlflow_run in runs if "mlflow.parentRunId" in mlflow_run.data.tags]
    assert child.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert child.data.tags["captioner.reproduce"] == f"captioner reproduce {child.info.run_id}"
    assert child.data.params["decode.strategy"] == "greedy"
    (parent,) = [mlflow_run for mlflow_run in runs if mlflow_run is not child]
    assert parent.data.metrics == first.data.metrics


def test_child_that_was_not_logged_completely_is_logged_again(tracked: Path) -> None:
    """A server that goes down after this repository created the child leaves such a run."""
    (first,) = [mlflow_run for mlflow_run in search_runs(tracked) if "mlflow.parentRunId" not in mlflow_run.data.tags]
    client = make_client(tracked / "mlflow.db")
    with changed(tracked / "params.yaml", "strategy: beam", "strategy: top_k"):
        run(tracked, "dvc", "repro")
        (child,) = [
            mlflow_run for mlflow_run in search_runs(tracked) if mlflow_run.data.params["decode.strategy"] == "top_k"
        ]
        tags = {key: value for key, value in child.data.tags.items() if key.startswith("captioner.")}
        client.delete_run(child.info.run_id)
        begun = client.create_run(first.info.experiment_id, tags=tags | {"mlflow.parentRunId": first.info.run_id})
        (tracked / "data/checkpoints/unfinished_runs.txt").write_text(f"{begun.info.run_id}\n")
        (tracked / "mlruns/recorded").unlink()
        run(tracked, "dvc", "repro")
    runs = search_runs(tracked)
    (restored,) = [
        mlflow_run for mlflow_run in runs if mlflow_run.data.params.get("decode.strategy", "top_k") == "top_k"
    ]
    assert restored.data.params == child.data.params
    assert restored.data.metrics.keys() == child.data.metrics.keys()
    make_client(tracked / "mlflow.db").delete_run(restored.info.run_id)
    run(tracked, "dvc", "repro")


def test_training_continues_without_the_store(tracked: Path) -> None:
    """Evaluate fails with a message. Once the store answers, the next `dvc repro` logs everything without training."""
    unreachable = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with changed(tracked / "params.yaml", "units: 32", "units: 36"):
        printed = run(tracked, "dvc", "repro", status=255, **unreachable)
        assert "training continues" in printed
        assert "Traceback" not in printed
        assert (tracked / "models/captioner/history.json").exists()
        printed = run(tracked, "dvc", "repro")
        assert "stages.train" not in printed
        (restored,) = [
            mlflow_run for mlflow_run in search_runs(tracked) if mlflow_run.data.params["model.units"] == "36"
        ]
        assert set(restored.data.metrics) >= METRICS
        assert artifact_names(tracked, restored) == ARTIFACTS


def test_address_of_the_store_is_a_setting(tracked: Path, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'other.db'}"
    with changed(tracked / "params.yaml", "units: 32", "units: 44"):
        run(tracked, "dvc", "repro", MLFLOW_TRACKING_URI=address)
    (logged,) = search_runs(tmp_path, "other.db")
    assert logged.data.params["model.units"] == "44"
    assert "44" not in {mlflow_run.data.params["model.units"] for mlflow_run in search_runs(tracked)}
