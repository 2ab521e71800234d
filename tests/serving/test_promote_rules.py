"""Which run `captioner promote` chooses, and which champion it compares that run with, in a real MLflow store."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from helpers.repository import ROOT

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.serving.promote import ALIAS, MODEL, promote
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore
from captioner.tracking.run_hash import evaluation_set_hash

NUMBERS = itertools.count(1)
OTHER_SET = "f" * 64


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return MLflow's database without runs; MLflow takes seconds to make it."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowStore(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowStore:
    """Return the store of an otherwise empty workspace with the captions of one image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_captions_table(Workspace().captions, "val", CaptionsTable([1], ["1.png"], [["a red circle"]]))
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return MlflowStore()


def set_objective(objective: str) -> None:
    text = Workspace().params.read_text()
    assert "objective: bleu_4" in text
    Workspace().params.write_text(text.replace("objective: bleu_4", f"objective: {objective}"))


def log_run(store: MlflowStore, bleu_4: float, evaluation_set: str | None = None, words: int = 50) -> str:
    """Log the scores of a run, on the workspace's evaluation set unless another is given, and return its id."""
    run_hash = f"{next(NUMBERS):064x}"
    tags = {tag.RUN_HASH: run_hash, tag.COMMIT: "0", tag.SCORED: "0"}
    tags[tag.EVALUATION_SET] = evaluation_set or evaluation_set_hash(Workspace(), "val")
    run_id: str = store.client.create_run(store.experiment_id, tags=tags, run_name=run_hash[-12:]).info.run_id
    store.client.log_param(run_id, "text.vocab_size", words)
    store.client.log_metric(run_id, "bleu_4", bleu_4)
    store.client.log_metric(run_id, "val_loss", 1 - bleu_4)
    return run_id


def make_champion(store: MlflowStore, run_id: str) -> None:
    store.client.create_registered_model(MODEL)
    version = store.client.create_model_version(MODEL, f"runs:/{run_id}/model", run_id).version
    store.client.set_registered_model_alias(MODEL, ALIAS, version)


def test_best_run_is_chosen_from_the_evaluation_set_of_the_workspace(store: MlflowStore) -> None:
    log_run(store, 0.9, evaluation_set=OTHER_SET)
    best = log_run(store, 0.5)
    log_run(store, 0.4)
    # It is chosen, and then refused, because it has no code to compare with that of the workspace.
    with pytest.raises(UserError, match=f"run {best} has no identity.json"):
        promote(None, force=False)


def test_champion_of_another_evaluation_set_is_not_compared(store: MlflowStore) -> None:
    make_champion(store, log_run(store, 0.1, evaluation_set=OTHER_SET))
    log_run(store, 0.9)
    with pytest.raises(
        UserError, match=r"was scored on the evaluation set .*, the champion .* on ffffffffffff.*--force"
    ):
        promote(None, force=False)


def test_best_run_is_not_chosen_by_validation_loss_across_vocabularies(store: MlflowStore) -> None:
    set_objective("val_loss")
    for words in (50, 1000):
        log_run(store, 0.5, words=words)
    with pytest.raises(UserError, match=r"differ in text\.vocab_size, and val_loss cannot be compared across vocab"):
        promote(None, force=False)


def test_champion_with_another_vocabulary_is_not_compared_by_validation_loss(store: MlflowStore) -> None:
    make_champion(store, log_run(store, 0.1, words=50))
    other, equal = log_run(store, 0.9, words=1000), log_run(store, 0.9, words=50)
    for objective, run_id in (("bleu_4", other), ("val_loss", equal)):
        if objective == "val_loss":
            set_objective(objective)
        with pytest.raises(UserError, match=r"has no identity.json"):  # compared, and found to be better
            promote(run_id, force=False)
    with pytest.raises(UserError, match=r"val_loss cannot be compared across vocabularies; --force"):
        promote(other, force=False)
