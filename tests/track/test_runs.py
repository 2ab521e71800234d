"""MLflow as a projection of the outputs: whatever happens to the store, the rows come out right."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from repository import SMALL, changed, compose, make_repo, run

pytestmark = pytest.mark.slow

EVERYTHING = {
    *("captioner", "vocabulary.txt", "params.yaml", "dvc.lock", "identity.json", "environment.json", "patch.diff"),
    *("captions.json", "metrics.json", "intervals.json", "each.csv", "index.html", "figures", "skipped.csv"),
}
NUMBERS = itertools.count()
SCORES = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "val_loss", "loss", "learning_rate"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    folder = make_repo(tmp_path_factory.mktemp("tracked"))
    compose(folder, *SMALL, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro")
    return folder


def client_of(database: Path) -> MlflowClient:
    """A client with a connection of its own: MLflow would go on with the file that was there before, removed or not."""
    return MlflowClient(f"sqlite:///{database.parent}{'/.' * next(NUMBERS)}/{database.name}")


def rows(repo: Path, database: str = "mlflow.db") -> list[Run]:
    client = client_of(repo / database)
    return list(client.search_runs([client.get_experiment_by_name("captioner").experiment_id]))


def artifacts(repo: Path, row: Run) -> set[str]:
    return {artifact.path for artifact in client_of(repo / "mlflow.db").list_artifacts(row.info.run_id)}


def forget(repo: Path) -> None:
    for path in repo.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(repo / "mlruns")


@pytest.fixture
def complete(tracked: Path) -> Iterator[Run]:
    (row,) = rows(tracked)
    yield row


def test_a_new_database_gets_the_row_without_training(tracked: Path, complete: Run) -> None:
    forget(tracked)
    printed = run(tracked, "dvc", "repro")
    assert "stages.train" not in printed
    assert "stages.evaluate" in printed
    (row,) = rows(tracked)
    assert row.info.status == "FINISHED"
    assert row.info.run_name == complete.info.run_name
    assert row.data.params == complete.data.params
    same = {key: value for key, value in complete.data.metrics.items() if key != "captions_per_second"}
    assert row.data.metrics == same
    assert set(row.data.metrics) >= SCORES
    assert artifacts(tracked, row) == EVERYTHING
    assert {k: v for k, v in row.data.tags.items() if k.startswith("hash.")} == {
        k: v for k, v in complete.data.tags.items() if k.startswith("hash.")
    }
    client = client_of(tracked / "mlflow.db")
    assert [metric.step for metric in client.get_metric_history(row.info.run_id, "step_loss")] == list(range(1, 7))


def test_outputs_from_the_cache_get_their_row(tracked: Path) -> None:
    with changed(tracked / "params.yaml", "units: 32", "units: 40"):
        run(tracked, "dvc", "repro")
        forget(tracked)
    printed = run(tracked, "dvc", "repro")
    assert "Stage 'train' is cached" in printed
    (row,) = rows(tracked)
    assert row.data.params["model.units"] == "32"
    assert set(row.data.metrics) >= SCORES


def test_another_decoding_is_a_child_and_the_first_row_stays(tracked: Path) -> None:
    (first,) = rows(tracked)
    with changed(tracked / "params.yaml", "strategy: beam", "strategy: greedy"):
        run(tracked, "dvc", "repro")
    run(tracked, "dvc", "repro")
    found = rows(tracked)
    assert len(found) == 2
    (child,) = [row for row in found if "mlflow.parentRunId" in row.data.tags]
    assert child.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert child.data.tags["captioner.reproduce"] == f"captioner reproduce {child.info.run_id}"
    assert child.data.params["decode.strategy"] == "greedy"
    (again,) = [row for row in found if row is not child]
    assert again.data.metrics == first.data.metrics


def test_a_child_that_was_not_logged_to_its_end_is_logged_again(tracked: Path) -> None:
    """As a server leaves it that goes away behind the row's creation."""
    (first,) = [row for row in rows(tracked) if "mlflow.parentRunId" not in row.data.tags]
    client = client_of(tracked / "mlflow.db")
    with changed(tracked / "params.yaml", "strategy: beam", "strategy: top_k"):
        run(tracked, "dvc", "repro")
        (child,) = [row for row in rows(tracked) if row.data.params["decode.strategy"] == "top_k"]
        tags = {key: value for key, value in child.data.tags.items() if key.startswith("captioner.")}
        client.delete_run(child.info.run_id)
        client.create_run(first.info.experiment_id, tags=tags | {"mlflow.parentRunId": first.info.run_id})
        (tracked / "mlruns/recorded").unlink()
        run(tracked, "dvc", "repro")
    (again,) = [row for row in rows(tracked) if row.data.params.get("decode.strategy", "top_k") == "top_k"]
    assert again.data.params == child.data.params
    assert again.data.metrics.keys() == child.data.metrics.keys()
    client_of(tracked / "mlflow.db").delete_run(again.info.run_id)
    run(tracked, "dvc", "repro")


def test_a_store_that_is_down_stops_no_training(tracked: Path) -> None:
    """evaluate says so and fails; once the store answers, the next `dvc repro` delivers all without training."""
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with changed(tracked / "params.yaml", "units: 32", "units: 36"):
        printed = run(tracked, "dvc", "repro", status=255, **away)
        assert "training goes on" in printed
        assert "Traceback" not in printed
        assert (tracked / "models/captioner/history.json").exists()
        printed = run(tracked, "dvc", "repro")
        assert "stages.train" not in printed
        (row,) = [row for row in rows(tracked) if row.data.params["model.units"] == "36"]
        assert set(row.data.metrics) >= SCORES
        assert artifacts(tracked, row) == EVERYTHING


def test_the_address_is_a_setting(tracked: Path, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'other.db'}"
    with changed(tracked / "params.yaml", "units: 32", "units: 44"):
        run(tracked, "dvc", "repro", MLFLOW_TRACKING_URI=address)
    (row,) = rows(tmp_path, "other.db")
    assert row.data.params["model.units"] == "44"
    assert "44" not in {row.data.params["model.units"] for row in rows(tracked)}
