"""The MLflow store: all pages of a search, and no database made by reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.repository import run

from captioner.common.errors import UserError
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore
from captioner.tracking.runs import find_run, finished_runs, scored_runs


def make_run(store: MlflowStore, run_hash: str, weights: str, status: str = "FINISHED", scored: bool = True) -> str:
    tags = {tag.RUN_HASH: run_hash, tag.WEIGHTS: weights, tag.COMMIT: "c"} | ({tag.SCORED: "m"} if scored else {})
    run_id: str = store.client.create_run(store.experiment_id, tags=tags).info.run_id
    if status != "RUNNING":
        store.finish(run_id, status)
    return run_id


@pytest.mark.slow
def test_more_than_1000_runs_are_all_found(tmp_path: Path) -> None:
    store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    ids = [make_run(store, f"{number:064x}", "w", status="RUNNING") for number in range(2500)]
    store.client.log_metric(ids[0], "bleu_4", 0.5)
    store.client.log_metric(ids[-1], "bleu_4", 0.25)
    assert len(store.search({tag.RUN_HASH: "%"}, like=True)) == 2500
    assert {mlflow_run.info.run_id for mlflow_run in scored_runs(store, "bleu_4")} == {ids[0], ids[-1]}
    assert find_run(store, ids[0]).info.run_id == ids[0]
    assert find_run(store, f"{0:064x}").info.run_id == ids[0]


def test_run_hash_with_several_weights_asks_for_an_id(tmp_path: Path) -> None:
    store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    first = make_run(store, "aa11", "w1")
    running = make_run(store, "aa11", "", status="RUNNING", scored=False)
    assert find_run(store, "aa").info.run_id == first
    second = make_run(store, "aa11", "w2")
    with pytest.raises(UserError, match=rf"several runs with different weights.*{second} \(weights w2\)"):
        find_run(store, "aa11")
    assert find_run(store, second).info.run_id == second
    assert [mlflow_run.info.run_id for mlflow_run in finished_runs(store, "aa11", "w1")] == [first]
    assert find_run(store, running).info.status == "RUNNING"
    make_run(store, "aa22", "w1")
    with pytest.raises(UserError, match="beginning of several run hashes"):
        find_run(store, "aa")


@pytest.mark.parametrize(
    "command", [("leaderboard",), ("compare", "a1", "b2"), ("reproduce", "a1"), ("promote", "a1")], ids=" ".join
)
def test_reading_command_makes_no_database(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((Path(__file__).parents[2] / "params.yaml").read_bytes())
    printed = run(tmp_path, "captioner", *command, status=1)
    assert "there is no " in printed
    assert "mlflow.db" in printed
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
