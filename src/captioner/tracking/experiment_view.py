"""The experiment as MLflow's user interface shows it: a saved view of the runs, and each run's datasets and source."""

from __future__ import annotations

import getpass
import json
import os
import re
from typing import TYPE_CHECKING

from captioner.common.errors import errors_in_one_line
from captioner.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

VIEW_KEY = "captioner"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
NOTE_TAG = "mlflow.note.content"
# MLflow's list of experiments shows the beginning. A click there opens the pages for conversations, whatever the tags.
NOTE = "Open Model training (top left) to see the runs"
SOURCE_TAG = "mlflow.source.name"
MLFLOW_UI = "http://127.0.0.1:5000"  # where `mlflow ui` answers unless told otherwise
# The columns, from left to right, and their widths in pixels.
COLUMNS = {
    "metrics.`bleu_4`": 70,
    "metrics.`cider`": 75,
    "metrics.`val_loss`": 75,
    "attributes.`Dataset`": 175,
    "attributes.`Source`": 105,
    "attributes.`User`": 60,
    "params.`decode.strategy`": 120,
    "params.`decode.beam_size`": 130,
    "params.`decode.split`": 95,
}


def share_view(client: MlflowClient, experiment_id: str) -> None:
    """Save the view that `runs_address` opens in a tag of the experiment, and describe the experiment, unless done."""
    state = {"selectedColumns": list(COLUMNS), "columnOrder": list(COLUMNS), "columnWidths": COLUMNS}
    view = json.dumps({"name": "scores", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
    tags = client.get_experiment(experiment_id).tags
    if tags.get(VIEW_TAG) != view:
        client.set_experiment_tag(experiment_id, VIEW_TAG, view)
    if NOTE_TAG not in tags:
        client.set_experiment_tag(experiment_id, NOTE_TAG, NOTE)


def runs_address(tracking_uri: str, experiment_id: str) -> str:
    """Return the address of the table of runs: on the server, or in `mlflow ui` if the store is a database.

    A user name and password in the server's address are left out.
    """
    is_server = tracking_uri.startswith(("http://", "https://"))
    server = re.sub("//[^/]*@", "//", tracking_uri).rstrip("/") if is_server else MLFLOW_UI
    # With the workflow type, MLflow's menu shows runs and models, not conversations.
    query = f"viewStateShareKey={VIEW_KEY}&workflowType=machine_learning"
    return f"{server}/#/experiments/{experiment_id}/runs?{query}"


def dataset_inputs(
    name: str, source: str, training_digest: str, evaluation_split: str, evaluation_digest: str
) -> list[DatasetInput]:
    """Return a run's datasets: the captions that it was trained on, and those that it was scored on.

    ``source`` says where the data comes from, without paths of one machine. The digests are `evaluation_set_hash` of
    the split ``train`` and of the split that was captioned.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    splits = [("train", training_digest, "training"), (evaluation_split, evaluation_digest, "evaluation")]
    return [
        DatasetInput(
            Dataset(name, digest[:12], "code", json.dumps({"tags": {"dataset": source, "split": split}})),
            [InputTag("mlflow.data.context", context)],
        )
        for split, digest, context in splits
    ]


def source_tags() -> dict[str, str]:
    """Return the tags that MLflow shows as a run's source and user: the command that ran the stages, and who did."""
    if "DVC_EXP_BASELINE_REV" in os.environ:
        command = "dvc exp run"
    else:  # a sweep's jobs run `dvc repro` with a name of an experiment
        command = "captioner sweep" if "DVC_EXP_NAME" in os.environ else "dvc repro"
    tags = {SOURCE_TAG: command, "mlflow.source.type": "LOCAL"}
    try:
        return tags | {"mlflow.user": getpass.getuser()}
    except (OSError, KeyError):  # the user id has no name, as in some containers
        return tags


def main() -> None:
    """Print the address of the table of runs."""
    with errors_in_one_line():
        store = MlflowStore(create=False)
        print(runs_address(store.client.tracking_uri, store.experiment_id))


if __name__ == "__main__":
    main()
