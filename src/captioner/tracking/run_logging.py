"""Logging of a training and of its scores to MLflow.

A row is identified by its run hash and its weights hash; each further decoding of the same weights is a child row. A
workspace changes or deletes only rows that it created and has not completed. Anything that was not logged during the
training is logged from the outputs afterwards, into a new row.
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
from captioner.data.captions_table import read_dataset_name
from captioner.tracking import tags as tag
from captioner.tracking.environment import log_environments, read_training_environments, save_training_environments
from captioner.tracking.experiment_view import dataset_inputs, runs_address, share_view, source_tags
from captioner.tracking.mlflow_store import MlflowStore, store_errors
from captioner.tracking.own_runs import add_own_run, complete_own_run, delete_own_run, own_run_ids
from captioner.tracking.provenance import output_hashes, read_code_version
from captioner.tracking.run_hash import evaluation_set_hash, hash_identity, run_identity
from captioner.tracking.runs import FINISHED, IDENTITY_FILE, PATCH_FILE, finished_runs, is_scored

if TYPE_CHECKING:
    from mlflow.entities import Run

# Two rows of the same weights and decoding are the same result if these tags are equal too.
RESULT_TAGS = (tag.DECODING, f"{tag.OUTPUT_HASH_PREFIX}sample.captions", tag.SCORED)
# The origin of the images and captions, by ``data.name``.
DATASET_SOURCES = {"shapes": "drawn by captioner", "coco": "TFDS", "karpathy": "a folder with Karpathy's JSON"}


class TrainingLogger:
    """Logs a training to MLflow while it runs. After the first error of the store it leaves the rest to `log_scores`.

    Attributes:
        run_hash: the hash of everything that decides the weights.
    """

    def __init__(self, params: Params, environment: dict[str, Any]) -> None:
        self._params = params
        self._environments = [environment]
        self._identity = run_identity(params)
        self.run_hash = hash_identity(self._identity)
        self._start = time.monotonic()
        self._resumed = False  # whether an earlier process trained a part
        self._run_id: str | None = None  # None: nothing is logged

    def begin(self) -> None:
        """Create the run. A run that this workspace began for the same training and did not finish is deleted."""
        with self._disabled_by_store_errors():
            self._store = MlflowStore()
            with self._store.lock:
                # Otherwise the metrics of the interrupted training would appear twice.
                _delete_interrupted(self._store, self.run_hash)
                self._run_id = _create_run(self._store, self._params, self._identity, self._environments)

    def on_epoch_end(self, steps: list[dict[str, float]], epoch: dict[str, float], speed: float | None) -> None:
        """Log the metrics of an epoch, and a row for each of its steps.

        ``speed`` is in captions per second, or None if an earlier process trained a part of the epoch.
        """
        with self._disabled_by_store_errors():
            if self._run_id:
                self._store.log_metrics(self._run_id, steps, "step", prefix="step_")
                row = epoch if speed is None else {**epoch, "captions_per_second": speed}
                self._store.log_metrics(self._run_id, [row], "epoch")

    def on_training_end(self, environments: list[dict[str, Any]], resumed: bool) -> None:
        """Keep the environments that took part, in order: several if the training was resumed in another one."""
        self._environments, self._resumed = environments, resumed
        save_training_environments(output_hashes(until="train")["train.weights"], environments)

    def end(self, status: str) -> None:
        """Finish the run with a status of MLflow; if it is FINISHED, log the model first.

        If the same weights have been logged and scored before, that run stands for this training too, and the new one
        is deleted.
        """
        with self._disabled_by_store_errors():
            if not self._run_id:
                return
            if status == FINISHED:
                weights = output_hashes(until="train")["train.weights"]
                if any(is_scored(run) for run in _trainings(finished_runs(self._store, self.run_hash, weights))):
                    delete_own_run(self._store, self._run_id)
                    return
                _log_model(self._store, self._run_id)
                log_environments(self._store, self._run_id, self._environments)
                if not self._resumed:
                    self._store.set_tags(self._run_id, {tag.TRAIN_SECONDS: f"{time.monotonic() - self._start:.0f}"})
            self._store.finish(self._run_id, status)

    @contextmanager
    def _disabled_by_store_errors(self) -> Iterator[None]:
        try:
            yield
        except store_errors() as error:
            self._run_id = None
            print(f"MLflow: {first_line(error)}; training continues, evaluate will log it", file=sys.stderr)


@contextmanager
def log_training(params: Params, environment: dict[str, Any]) -> Iterator[TrainingLogger]:
    """Log the training in the body of the ``with`` statement to MLflow, and print its run hash."""
    logger = TrainingLogger(params, environment)
    print(f"run {logger.run_hash[:12]}", flush=True)
    logger.begin()
    try:
        yield logger
    except BaseException as error:
        logger.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    logger.end(FINISHED)


def log_scores(params: Params, metrics: dict[str, float]) -> str:
    """Log scores, captions and figures, unless a finished run holds the same result; return the address of all runs.

    They belong to the run of the training if this workspace created it and it has no scores. Otherwise a new run is
    logged from the outputs: a child if the weights are recorded already.

    Raises:
        UserError: the store cannot be reached or rejects the record.
    """
    try:
        store = MlflowStore()
        with store.lock:
            _log_evaluation(store, params, metrics)
            share_view(store.client, store.experiment_id)
        return runs_address(store.client.tracking_uri, store.experiment_id)
    except store_errors() as error:
        reason = f"MLflow does not accept the record ({first_line(error)})"
        where = f"the results are in {Workspace().reports}"
        raise UserError(f"{reason}: {where}; `dvc repro` logs them once it does") from None


def _log_evaluation(store: MlflowStore, params: Params, metrics: dict[str, float]) -> None:
    identity = run_identity(params)
    result = {tag.OUTPUT_HASH_PREFIX + name: value for name, value in output_hashes().items()}
    result |= {tag.RUN_HASH: hash_identity(identity), tag.DECODING: _decoding_hash(params)}
    _delete_interrupted(store, result[tag.RUN_HASH])
    recorded = finished_runs(store, result[tag.RUN_HASH], result[tag.WEIGHTS])
    if not _find_twins(recorded, result):
        run_id = _choose_run(store, params, identity, recorded, result)
        _log_result(store, run_id, params, metrics, result)
        recorded = finished_runs(store, result[tag.RUN_HASH], result[tag.WEIGHTS])
        _give_way(store, run_id, recorded, result)
    _complete_own_runs(store, recorded)


def _give_way(store: MlflowStore, run_id: str, recorded: list[Run], result: dict[str, str]) -> None:
    """Give way to another machine that has logged the same weights at the same moment and has finished earlier.

    A run with the same result is deleted; the run of a training with another decoding becomes a child run.
    """
    in_order = sorted(recorded, key=lambda run: (run.info.end_time, run.info.run_id))
    first, *_ = _find_twins(in_order, result)
    if first.info.run_id != run_id:
        _delete_unless_parent(store, run_id)
        return
    scored = [run.info.run_id for run in _trainings(in_order) if is_scored(run)]
    if run_id in scored[1:]:
        store.set_tags(run_id, {tag.PARENT_HASH: result[tag.RUN_HASH], tag.PARENT_RUN: scored[0]})
        store.client.delete_tag(run_id, tag.RUN_HASH)


def _complete_own_runs(store: MlflowStore, recorded: list[Run]) -> None:
    """Forget this workspace's runs with scores; delete those without if another run of the same weights has scores."""
    is_recorded = any(is_scored(run) for run in _trainings(recorded))
    own = own_run_ids()
    for run in recorded:
        if run.info.run_id in own and is_scored(run):
            complete_own_run(run.info.run_id)
        elif run.info.run_id in own and is_recorded:
            _delete_unless_parent(store, run.info.run_id)


def _delete_unless_parent(store: MlflowStore, run_id: str) -> None:
    """Delete a duplicate that this workspace created, unless another machine has logged a child run under it."""
    if not store.search({tag.PARENT_RUN: run_id}):
        delete_own_run(store, run_id)


def _delete_interrupted(store: MlflowStore, run_hash: str) -> None:
    """Delete the runs that this workspace began and did not finish: they can hold any part of a result."""
    for run in filter(None, map(store.get_run, own_run_ids())):
        is_child = run.data.tags.get(tag.PARENT_HASH) == run_hash
        is_training = run.data.tags.get(tag.RUN_HASH) == run_hash
        if (is_child and not is_scored(run)) or (is_training and run.info.status != FINISHED):
            delete_own_run(store, run.info.run_id)


def _trainings(runs: list[Run]) -> list[Run]:
    """Return the runs that are not child runs."""
    return [run for run in runs if tag.RUN_HASH in run.data.tags]


def _find_twins(recorded: list[Run], result: dict[str, str]) -> list[Run]:
    """Return the runs that hold the same result."""
    return [run for run in recorded if all(run.data.tags.get(key) == result[key] for key in RESULT_TAGS)]


def _choose_run(
    store: MlflowStore, params: Params, identity: dict[str, Any], recorded: list[Run], result: dict[str, str]
) -> str:
    """Return the id of the run that the result belongs to; a missing one is created.

    It is the run of the training if this workspace created it, it has no scores, and decoding and code are the present
    ones; otherwise a child of a training with other scores or another decoding; otherwise a new run.
    """
    code, decoding = read_code_version(), result[tag.DECODING]
    environments = read_training_environments(result[tag.WEIGHTS])
    trainings, own = _trainings(recorded), own_run_ids()
    scored = [run for run in trainings if is_scored(run)]
    same_decoding = [run for run in trainings if run.data.tags[tag.DECODING] == decoding]
    for run in [] if scored else same_decoding:
        if run.info.run_id in own:
            if (run.data.tags[tag.COMMIT], run.data.tags.get(tag.PATCH, "")) == (code.commit, code.patch_hash):
                return str(run.info.run_id)
            delete_own_run(store, run.info.run_id)
    # A run without scores and with the same decoding belongs to a machine that is about to log its scores.
    for run in scored or [run for run in trainings if run not in same_decoding]:
        return _create_run(store, params, identity, environments, run.info.run_id)
    run_id = _create_run(store, params, identity, environments)
    history = json.loads(Workspace().history.read_text(encoding="utf-8"))
    store.log_metrics(run_id, history["steps"], "step", prefix="step_")
    store.log_metrics(run_id, history["epochs"], "epoch")
    _log_model(store, run_id)
    return run_id


def _create_run(
    store: MlflowStore,
    params: Params,
    identity: dict[str, Any],
    environments: list[dict[str, Any]],
    parent_id: str | None = None,
) -> str:
    """Create the run of a training, or with ``parent_id`` the child run for another decoding, and return its id.

    It holds everything that a rebuild needs: identity, parameters, code, environment, and the command.
    """
    run_hash, dataset = hash_identity(identity), read_dataset_name(Workspace().captions)
    if parent_id:
        words: list[str] = [params.decode.split, params.decode.strategy]
        tags = {tag.PARENT_HASH: run_hash, tag.PARENT_RUN: parent_id}
    else:
        words, tags = [dataset, os.environ.get("DVC_EXP_NAME", "")], {tag.RUN_HASH: run_hash}
    tags |= {tag.DECODING: _decoding_hash(params), tag.DATASET: dataset, **source_tags()}
    run_id = store.create_run(" ".join(filter(None, [run_hash[:12], *words])), tags)
    add_own_run(run_id)
    store.log_params(run_id, params)
    code = read_code_version()
    tags = {tag.DIRTY: str(bool(code.patch)).lower(), tag.COMMIT: code.commit}
    tags[tag.REPRODUCE] = f"captioner reproduce {run_id}"
    if code.patch:
        store.log_file(run_id, PATCH_FILE, code.patch)
        code.remember_patch()
        tags[tag.PATCH] = code.patch_hash
    store.set_tags(run_id, tags)
    store.log_file(run_id, IDENTITY_FILE, identity)
    store.log_artifacts(run_id, [Workspace().params])
    log_environments(store, run_id, environments)
    return run_id


def _log_result(
    store: MlflowStore, run_id: str, params: Params, metrics: dict[str, float], result: dict[str, str]
) -> None:
    """Log scores and files, and at last the tag by which the run counts as scored."""
    workspace = Workspace()
    with workspace.skipped.open(encoding="utf-8", newline="") as file:
        skipped = len(list(csv.reader(file))) - 1
    store.log_metrics(run_id, [{"step": 0, **metrics, "skipped_pictures": skipped}], "step")
    files = [workspace.dvc_lock, workspace.skipped, workspace.generated_captions, workspace.metrics]
    files += [workspace.intervals, workspace.per_image, workspace.page]
    store.log_artifacts(run_id, [*files, workspace.figures])
    split = params.decode.split
    evaluation_set = evaluation_set_hash(workspace, split)
    name, training_set = read_dataset_name(workspace.captions), evaluation_set_hash(workspace, "train")
    inputs = dataset_inputs(name, DATASET_SOURCES[params.data.name], training_set, split, evaluation_set)
    store.client.log_inputs(run_id, inputs)
    hashes = {key: value for key, value in result.items() if key.startswith(tag.OUTPUT_HASH_PREFIX)}
    store.finish(run_id)
    store.set_tags(run_id, {tag.EVALUATION_SET: evaluation_set, **hashes})


def _log_model(store: MlflowStore, run_id: str) -> None:
    workspace = Workspace()
    store.log_artifacts(run_id, [workspace.model, workspace.vocabulary, workspace.dvc_lock])
    # During train, the outputs of the later stages are still those of the previous run.
    hashes = output_hashes(until="train")
    store.set_tags(run_id, {tag.OUTPUT_HASH_PREFIX + name: value for name, value in hashes.items()})


def _decoding_hash(params: Params) -> str:
    text = json.dumps(params.decode.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
