"""Search of runs in MLflow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from captioner.common.errors import UserError
from captioner.tracking.mlflow_store import MlflowStore
from captioner.tracking.tags import COMMIT_TAG, PARENT_HASH_TAG, RUN_HASH_TAG, SCORED_TAG, WEIGHTS_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED = "FINISHED"  # MLflow's status of a run that was logged completely
# The names of artifacts.
IDENTITY_FILE = "identity.json"  # everything that decides the weights
PATCH_FILE = "patch.diff"  # the uncommitted changes, if there are any
ENVIRONMENT_FILE = "environment.json"  # of the training; of its last process if it was resumed
EARLIER_ENVIRONMENTS_FILE = "earlier_environments.json"  # of a training that was resumed in another environment


def is_scored(run: Run) -> bool:
    """Return whether all scores of a run were logged."""
    return SCORED_TAG in run.data.tags


def finished_runs(store: MlflowStore, run_hash: str, weights_hash: str) -> list[Run]:
    """Return the finished runs and child runs of these weights, the oldest first."""
    runs = [
        run
        for tag in (PARENT_HASH_TAG, RUN_HASH_TAG)
        for run in store.search({tag: run_hash, WEIGHTS_TAG: weights_hash})
    ]
    return [run for run in reversed(runs) if run.info.status == FINISHED]


def find_run(store: MlflowStore, name: str) -> Run:
    """Return the run that a user names.

    Args:
        store: the store.
        name: a run id, or a run hash or its beginning.

    Raises:
        UserError: no run has this name, or several have.
    """
    if not name.isalnum():
        raise UserError(f"{name} is neither a run id nor a run hash: take one from `mlflow ui`")
    run = store.get_run(name)
    if run and COMMIT_TAG in run.data.tags:
        return run
    runs = store.search({RUN_HASH_TAG: f"{name}%"}, like=True)
    if not runs:
        raise UserError(
            f"{name} is not a run in {store.client.tracking_uri}: take an id or a run hash from `mlflow ui`"
        )
    hashes = sorted({run.data.tags[RUN_HASH_TAG] for run in runs})
    if len(hashes) > 1:
        short = ", ".join(run_hash[:12] for run_hash in hashes)
        raise UserError(f"{name} is the beginning of several run hashes ({short}): give more of it")
    # A run that is being trained, or was interrupted, does not hide the finished one.
    runs = [run for run in runs if run.info.status == FINISHED] or runs
    weights = {run.data.tags.get(WEIGHTS_TAG, "none") for run in runs}
    if len(weights) > 1:
        ids = ", ".join(f"{run.info.run_id} (weights {run.data.tags.get(WEIGHTS_TAG, 'none')[:12]})" for run in runs)
        raise UserError(f"the run hash {name} has several runs with different weights: give the id of one: {ids}")
    return max(reversed(runs), key=is_scored)


def scored_runs(store: MlflowStore, metric: str) -> list[Run]:
    """Return all runs and child runs that have a metric: first the runs, then the children, each the newest first."""
    runs = [run for tag in (RUN_HASH_TAG, PARENT_HASH_TAG) for run in store.search({tag: "%"}, like=True)]
    return [run for run in runs if is_scored(run) and metric in run.data.metrics]


def read_json_artifact(store: MlflowStore, run_id: str, name: str) -> dict[str, Any]:
    """Return a run's artifact that holds a JSON object.

    Raises:
        UserError: the run has no such artifact.
    """
    content = store.read_artifact(run_id, name)
    if content is None:
        raise UserError(f"run {run_id} has no {name}: it was not logged completely, so it cannot be rebuilt")
    tree: dict[str, Any] = json.loads(content)
    return tree
