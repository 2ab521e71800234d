"""The start of a sweep: which results of earlier sweeps it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioner.sweep.launch import JOB_RESULTS, _remove_unlogged_results
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore


def log_run(store: MlflowStore, strategy: str, tags: dict[str, str]) -> str:
    """Log a finished run of the weights that all runs here share, and return its id."""
    run_id: str = store.client.create_run(store.experiment_id, tags={tag.WEIGHTS: "weights", **tags}).info.run_id
    for key, value in {"decode.strategy": strategy, "decode.beam_size": 3, "decode.top_k": None}.items():
        store.client.log_param(run_id, key, value)
    store.finish(run_id)
    return run_id


def test_result_whose_child_run_was_deleted_is_removed_though_its_parent_run_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    store, scored = MlflowStore(), {tag.SCORED: "scores"}
    log_run(store, "beam", {tag.RUN_HASH: "hash", **scored})
    greedy = log_run(store, "greedy", {tag.PARENT_HASH: "hash", **scored})
    log_run(store, "sample", {tag.PARENT_HASH: "hash"})
    folder = tmp_path / JOB_RESULTS
    folder.mkdir(parents=True)
    for strategy in ("beam", "greedy", "sample"):
        params = {"seed": 1, "decode.strategy": strategy, "decode.beam_size": 3, "decode.top_k": None}
        result = {"params": params, "run_hash": "hash", "weights_hash": "weights"}
        (folder / f"{strategy}.json").write_text(json.dumps(result))

    def kept() -> list[str]:
        _remove_unlogged_results(tmp_path)
        return sorted(path.stem for path in folder.iterdir())

    assert kept() == ["beam", "greedy"]  # the run with the decoding "sample" has no scores
    store.client.delete_run(greedy)
    assert kept() == ["beam"]
