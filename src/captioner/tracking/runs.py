"""Runs in MLflow: one for each run hash, with a child run for each further decoding of the same model.

A run is a copy of the outputs: whatever was not logged during the training is logged from the outputs afterwards.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from captioner.common.errors import UserError, first_line
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.tracking.mlflow_store import MlflowStore, store_errors
from captioner.tracking.provenance import describe_environment, output_hashes, read_code_version
from captioner.tracking.run_hash import hash_identity, run_identity
from captioner.tracking.tags import (
    COMMIT_TAG,
    DECODING_TAG,
    DEVICE_TAG,
    DIRTY_TAG,
    ENVIRONMENT_TAG,
    OUTPUT_HASH_PREFIX,
    PARENT_HASH_TAG,
    PARENT_RUN_TAG,
    PATCH_TAG,
    REPRODUCE_TAG,
    RUN_HASH_TAG,
    TRAIN_SECONDS_TAG,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED = "FINISHED"  # MLflow's status of a run that was logged completely


class TrainingLogger:
    """Logs a training to MLflow while it runs. After the first error of the store it leaves the rest to `log_scores`.

    Attributes:
        run_hash: the hash of everything that decides the weights.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self._identity = run_identity(params)
        self.run_hash = hash_identity(self._identity)
        self._start = time.monotonic()
        self._run_id: str | None = None  # None: nothing is logged

    def begin(self) -> None:
        """Create the run, unless the same training has been logged completely: then that run stays unchanged."""
        with self._disabled_by_store_errors():
            self._store = MlflowStore()
            with self._store.lock:
                self._run_id = _create_run(self._store, self._params, self._identity)

    def on_epoch_end(self, steps: list[dict[str, float]], epoch: dict[str, float], speed: float | None) -> None:
        """Log the metrics of an epoch.

        Args:
            steps: a row for each step of the epoch.
            epoch: the row of the epoch.
            speed: captions per second; None for an epoch of an earlier process.
        """
        with self._disabled_by_store_errors():
            if self._run_id:
                self._store.log_metrics(self._run_id, steps, "step", prefix="step_")
                row = epoch if speed is None else {**epoch, "captions_per_second": speed}
                self._store.log_metrics(self._run_id, [row], "epoch")

    def end(self, status: str) -> None:
        """Finish the run with a status of MLflow; if it is FINISHED, log the model first."""
        with self._disabled_by_store_errors():
            if self._run_id:
                if status == FINISHED:
                    _log_model(self._store, self._run_id)
                    self._store.set_tags(self._run_id, {TRAIN_SECONDS_TAG: f"{time.monotonic() - self._start:.0f}"})
                self._store.finish(self._run_id, status)

    @contextmanager
    def _disabled_by_store_errors(self) -> Iterator[None]:
        try:
            yield
        except store_errors() as error:
            self._run_id = None
            print(f"MLflow: {first_line(error)}; training continues, evaluate will log it", file=sys.stderr)


@contextmanager
def log_training(params: Params) -> Iterator[TrainingLogger]:
    """Log the training in the body of the ``with`` statement to MLflow, and print its run hash."""
    logger = TrainingLogger(params)
    print(f"run {logger.run_hash[:12]}", flush=True)
    logger.begin()
    try:
        yield logger
    except BaseException as error:
        logger.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    logger.end(FINISHED)


def log_scores(params: Params, metrics: dict[str, float]) -> None:
    """Log scores, captions and figures to the run if it has the same decoding, otherwise to a child of it.

    A run that is not complete in the store is logged from its outputs first. This happens if the outputs came from
    DVC's cache, if the store is new, and if it was down during the training.

    Raises:
        UserError: the store cannot be reached or rejects the record.
    """
    try:
        store = MlflowStore()
        with store.lock:
            _log_evaluation(store, params, metrics)
    except store_errors() as error:
        raise UserError(
            f"MLflow does not accept the record ({first_line(error)}): the results are in {Workspace().reports}; "
            "`dvc repro` logs them once it does"
        ) from None


def find_run(store: MlflowStore, name: str) -> Run:
    """Return the run that a user names.

    Args:
        store: the store.
        name: an MLflow run id, or a run hash or any unique prefix of one.

    Raises:
        UserError: no run, or more than one, has this name.
    """
    if not name.isalnum():
        raise UserError(f"{name} is neither a run id nor a run hash: take one from `mlflow ui`")
    runs = store.search({RUN_HASH_TAG: f"{name}%"}, like=True)
    if not runs:
        runs = [run for run in store.search({COMMIT_TAG: "%"}, like=True) if run.info.run_id == name]
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise UserError(
            f"{name} is not a run in {store.client.tracking_uri}: take an id or a run hash from `mlflow ui`"
        )
    hashes = ", ".join(run.data.tags[RUN_HASH_TAG][:12] for run in runs)
    raise UserError(f"{name} is the beginning of several run hashes ({hashes}): give more of it")


def scored_runs(store: MlflowStore, metric: str) -> list[Run]:
    """Return all runs and child runs that have a metric: first the runs, then the children, each the newest first."""
    runs = [run for tag in (RUN_HASH_TAG, PARENT_HASH_TAG) for run in store.search({tag: "%"}, like=True)]
    return [run for run in runs if metric in run.data.metrics]


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


def _log_evaluation(store: MlflowStore, params: Params, metrics: dict[str, float]) -> None:
    workspace, identity = Workspace(), run_identity(params)
    run_id = _create_run(store, params, identity)
    if run_id:
        _log_history(store, run_id)
        _log_model(store, run_id)
    (run,) = store.search({RUN_HASH_TAG: hash_identity(identity)})
    run_id = run.info.run_id
    if run.data.tags[DECODING_TAG] != _decoding_hash(params):
        run_id = _find_or_create_child(store, params, identity, run_id)
    with workspace.skipped.open(encoding="utf-8", newline="") as file:
        skipped = len(list(csv.reader(file))) - 1
    store.log_metrics(run_id, [{"step": 0, **metrics, "skipped_pictures": skipped}], "step")
    files = [workspace.dvc_lock, workspace.skipped, workspace.generated_captions, workspace.metrics]
    files += [workspace.intervals, workspace.per_image, workspace.page]
    store.log_artifacts(run_id, [*files, workspace.figures])
    store.set_tags(run_id, {OUTPUT_HASH_PREFIX + name: value for name, value in output_hashes().items()})
    store.finish(run_id)


def _create_run(store: MlflowStore, params: Params, identity: dict[str, Any]) -> str | None:
    """Create a run and return its id, or None if a complete run exists. Incomplete ones are deleted."""
    run_hash = hash_identity(identity)
    for run in store.search({RUN_HASH_TAG: run_hash}):
        if run.info.status == FINISHED:
            return None
        # Otherwise the metrics of the interrupted training would appear twice in the curves.
        store.client.delete_run(run.info.run_id)
    experiment = os.environ.get("DVC_EXP_NAME")
    name = " ".join(part for part in (run_hash[:12], params.data.name, experiment) if part)
    run_id = store.create_run(name, params, {RUN_HASH_TAG: run_hash, DECODING_TAG: _decoding_hash(params)})
    _log_provenance(store, run_id, identity, f"captioner reproduce {run_hash[:12]}")
    return run_id


def _find_or_create_child(store: MlflowStore, params: Params, identity: dict[str, Any], parent_id: str) -> str:
    """Return the id of the child run for another decoding of the same model."""
    run_hash, decoding = hash_identity(identity), _decoding_hash(params)
    for run in store.search({PARENT_RUN_TAG: parent_id, DECODING_TAG: decoding}):
        if run.info.status == FINISHED:
            return str(run.info.run_id)
        # The store went down while this run was logged.
        store.client.delete_run(run.info.run_id)
    name = f"{run_hash[:12]} {params.decode.split} {params.decode.strategy}"
    tags = {PARENT_HASH_TAG: run_hash, DECODING_TAG: decoding, PARENT_RUN_TAG: parent_id}
    run_id = store.create_run(name, params, tags)
    _log_provenance(store, run_id, identity, f"captioner reproduce {run_id}")
    return run_id


def _log_provenance(store: MlflowStore, run_id: str, identity: dict[str, Any], command: str) -> None:
    """Log everything that a rebuild of the run needs: identity, parameters, code, environment, and the command."""
    code, environment = read_code_version(), describe_environment()
    tags = {
        DIRTY_TAG: str(bool(code.patch)).lower(),
        REPRODUCE_TAG: command,
        COMMIT_TAG: code.commit,
        ENVIRONMENT_TAG: hash_identity(environment)[:12],
        DEVICE_TAG: environment["gpu"] or environment["cpu"].partition(",")[0],
    }
    if code.patch:
        store.log_file(run_id, "patch.diff", code.patch)
        tags[PATCH_TAG] = code.patch_hash
    store.set_tags(run_id, tags)
    store.log_file(run_id, "identity.json", identity)
    store.log_file(run_id, "environment.json", environment)
    store.log_artifacts(run_id, [Workspace().params])


def _log_model(store: MlflowStore, run_id: str) -> None:
    workspace = Workspace()
    store.log_artifacts(run_id, [workspace.model, workspace.vocabulary, workspace.dvc_lock])
    # During train, the outputs of the later stages are still those of the previous run.
    hashes = output_hashes(until="train")
    store.set_tags(run_id, {OUTPUT_HASH_PREFIX + name: value for name, value in hashes.items()})


def _log_history(store: MlflowStore, run_id: str) -> None:
    history = json.loads(Workspace().history.read_text(encoding="utf-8"))
    store.log_metrics(run_id, history["steps"], "step", prefix="step_")
    store.log_metrics(run_id, history["epochs"], "epoch")


def _decoding_hash(params: Params) -> str:
    text = json.dumps(params.decode.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
