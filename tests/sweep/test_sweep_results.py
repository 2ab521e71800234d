"""The record of a finished sweep in a real MLflow store, from the answers of its jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioner.sweep.launch import Sweep
from captioner.sweep.results import finish_sweep
from captioner.tracking.mlflow_store import MlflowStore


def write_answers(sweep: Sweep, objective: str) -> None:
    """Write the answers of four jobs, with two vocabularies and two seeds."""
    sweep.folder.mkdir(parents=True)
    for number, (words, seed) in enumerate((words, seed) for words in (50, 1000) for seed in (1, 2)):
        metrics = {"bleu_4": 0.2 + number / 10, "cider": 1.0, "val_loss": words / 100 + seed}
        params = {"seed": seed, "text.vocab_size": words, "score.objective": objective}
        answer = {"params": params, "metrics": metrics, "run_hash": f"{number:064}", "weights_hash": "0"}
        (sweep.folder / f"{number}.json").write_text(json.dumps(answer))


def test_best_of_a_sweep_is_logged_but_not_for_validation_losses_across_vocabularies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = MlflowStore()
    logged = {}
    for objective in ("bleu_4", "val_loss"):
        run_id = store.client.create_run(store.experiment_id).info.run_id
        sweep = Sweep(str(tmp_path), f"by_{objective}", "0", run_id)
        write_answers(sweep, objective)
        assert finish_sweep(sweep, all_ended=True)
        logged[objective] = store.client.get_run(run_id).data.metrics
    assert logged == {"bleu_4": {"best_bleu_4": pytest.approx(0.45)}, "val_loss": {}}
    printed = capsys.readouterr().out
    assert "- text.vocab_size=50: one row: nothing to compare\n- text.vocab_size=1000: one row" in printed
    assert "val_loss cannot be compared across vocabularies" in (tmp_path / "reports/sweeps/by_val_loss.md").read_text()
