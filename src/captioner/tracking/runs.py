"""Search of runs in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captioner.common.errors import UserError
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED = "FINISHED"  # MLflow's status of a run whose training, or whose scores, were logged
# The names of artifacts.
IDENTITY_FILE = "identity.json"  # everything that decides the weights
PATCH_FILE = "patch.diff"  # the uncommitted changes, if there are any


def is_scored(run: Run) -> bool:
    """Return whether all scores of a run were logged."""
    return tag.SCORED in run.data.tags


def finished_runs(store: MlflowStore, run_hash: str, weights_hash: str) -> list[Run]:
    """Return the finished runs of these weights, then the child runs, each the oldest first."""
    keys = (tag.PARENT_HASH, tag.RUN_HASH)
    runs = [run for key in keys for run in store.search({key: run_hash, tag.WEIGHTS: weights_hash})]
    return [run for run in reversed(runs) if run.info.status == FINISHED]


def find_run(store: MlflowStore, name: str) -> Run:
    """Return the run that a user names by its run id, or by its run hash or the beginning of it.

    Raises:
        UserError: no run has this name, or several have.
    """
    if not name.isalnum():
        raise UserError(f"{name} is neither a run id nor a run hash: take one from `mlflow ui`")
    run = store.get_run(name)
    if run and tag.COMMIT in run.data.tags:
        return run
    runs = store.search({tag.RUN_HASH: f"{name}%"}, like=True)
    if not runs:
        address = store.client.tracking_uri
        raise UserError(f"{name} is not a run in {address}: take an id or a run hash from `mlflow ui`")
    hashes = sorted({run.data.tags[tag.RUN_HASH] for run in runs})
    if len(hashes) > 1:
        short = ", ".join(run_hash[:12] for run_hash in hashes)
        raise UserError(f"{name} is the beginning of several run hashes ({short}): give more of it")
    # A run that is being trained, or was interrupted, does not hide the finished one.
    runs = [run for run in runs if run.info.status == FINISHED] or runs
    weights = {run.data.tags.get(tag.WEIGHTS, "none") for run in runs}
    if len(weights) > 1:
        ids = ", ".join(f"{run.info.run_id} (weights {run.data.tags.get(tag.WEIGHTS, 'none')[:12]})" for run in runs)
        raise UserError(f"the run hash {name} has several runs with different weights: give the id of one: {ids}")
    return max(reversed(runs), key=is_scored)


def scored_runs(store: MlflowStore, metric: str) -> list[Run]:
    """Return all runs and child runs that have a metric: first the runs, then the children, each the newest first."""
    runs = [run for key in (tag.RUN_HASH, tag.PARENT_HASH) for run in store.search({key: "%"}, like=True)]
    return [run for run in runs if is_scored(run) and metric in run.data.metrics]
