"""The tags and addresses by which MLflow's user interface shows runs with scores, dataset, source and user."""

import json
import os
from pathlib import Path

import pytest

from captioner.tracking.experiment_view import NOTE_TAG, VIEW_TAG, runs_address, share_view, source_tags
from captioner.tracking.mlflow_store import MlflowStore

PAGE = "/#/experiments/7/runs?viewStateShareKey=captioner&workflowType=machine_learning"


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("sqlite:////home/me/captioner/mlflow.db", "http://127.0.0.1:5000"),
        ("https://mlflow.example.org/team/", "https://mlflow.example.org/team"),
        ("http://me:secret@mlflow.example.org:8080", "http://mlflow.example.org:8080"),
    ],
)
def test_address_of_the_runs_is_the_servers_or_that_of_mlflow_ui_without_a_password(uri: str, server: str) -> None:
    assert runs_address(uri, "7") == server + PAGE


@pytest.mark.slow
def test_shared_view_is_restored_and_a_users_description_is_kept(tmp_path: Path) -> None:
    store = MlflowStore(f"sqlite:///{tmp_path}/mlflow.db")

    def tags() -> dict[str, str]:
        return dict(store.client.get_experiment(store.experiment_id).tags)

    share_view(store.client, store.experiment_id)
    first = tags()
    columns = json.loads(json.loads(first[VIEW_TAG])["state"])["selectedColumns"]
    assert {"metrics.`bleu_4`", "metrics.`cider`", "metrics.`val_loss`", "attributes.`Dataset`"} <= set(columns)
    assert "Model training" in first[NOTE_TAG]
    store.client.set_experiment_tag(store.experiment_id, VIEW_TAG, "{}")
    store.client.set_experiment_tag(store.experiment_id, NOTE_TAG, "mine")
    share_view(store.client, store.experiment_id)
    assert tags() == first | {NOTE_TAG: "mine"}


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        ({}, "dvc repro"),
        ({"DVC_EXP_NAME": "a", "DVC_EXP_BASELINE_REV": "b"}, "dvc exp run"),
        ({"DVC_EXP_NAME": "a"}, "captioner sweep"),
    ],
)
def test_source_is_the_command_that_ran_the_stages(
    variables: dict[str, str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOGNAME", "ada")
    tags = source_tags()
    assert (tags["mlflow.source.name"], tags["mlflow.user"]) == (command, "ada")


def test_source_without_a_name_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    assert set(source_tags()) == {"mlflow.source.name", "mlflow.source.type"}
