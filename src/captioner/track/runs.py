"""The experiment's rows in MLflow: one run for each run hash, a child for each further way of decoding it.

A row is a projection of the outputs: what was not logged while it happened is written from them afterwards.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.config import Params, UserError
from captioner.track.identity import LOCK, hash_of, identify
from captioner.track.record import code_of, environment, output_hashes
from captioner.track.store import Tracker, first_line, refusals

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_HASH = "captioner.run_hash"
OF_RUN = "captioner.of_run"  # on a child: the run hash of its parent
DECODING = "captioner.decoding"
PATCH = "captioner.patch"
COMMIT = "mlflow.source.git.commit"
PARENT = "mlflow.parentRunId"
DEVICE = "captioner.device"
SECONDS = "captioner.train_seconds"  # only where the training was logged as it went on
HASH = "hash."  # with the name of an output: its hash

MODEL = Path("models/captioner")
VOCABULARY = Path("data/tokens/vocabulary.txt")
PARAMS = Path("params.yaml")
REPORTS = Path("reports")


class Training:
    """A training run on its way into the store. What the store does not take, `record_scores` writes later.

    Attributes:
        hash: the run hash.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.identity = identify(params)
        self.hash = hash_of(self.identity)
        self._began = time.monotonic()
        # None: nothing is to be logged.
        self._run_id: str | None = None

    def begin(self) -> None:
        """Makes the row, unless this training has been logged to its end before: then the row stays as it is."""
        with self._unless_refused():
            self._tracker = Tracker()
            with self._tracker.alone:
                self._run_id = _new_row(self._tracker, self.params, self.identity)

    def watch(self, steps: list[dict[str, float]], epoch: dict[str, float], speed: float | None) -> None:
        """Logs an epoch, with its captions per second where this process trained it."""
        with self._unless_refused():
            if self._run_id:
                self._tracker.metrics(self._run_id, steps, "step", prefix="step_")
                row = epoch if speed is None else {**epoch, "captions_per_second": speed}
                self._tracker.metrics(self._run_id, [row], "epoch")

    def end(self, status: str) -> None:
        """Closes the row, with what the training has written."""
        with self._unless_refused():
            if self._run_id:
                if status == "FINISHED":
                    _log_model(self._tracker, self._run_id)
                    self._tracker.tags(self._run_id, {SECONDS: f"{time.monotonic() - self._began:.0f}"})
                self._tracker.finish(self._run_id, status)

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        try:
            yield
        except refusals() as error:
            self._run_id = None
            print(f"MLflow: {first_line(error)}; training goes on, evaluate will log it", file=sys.stderr)


@contextmanager
def watch_training(params: Params) -> Iterator[Training]:
    """Logs a training as it goes on."""
    training = Training(params)
    print(f"run {training.hash[:12]}", flush=True)
    training.begin()
    try:
        yield training
    except BaseException as error:
        training.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    training.end("FINISHED")


def record_scores(params: Params, metrics: dict[str, float]) -> None:
    """Logs scores, captions and figures: to the run if it was made with this decoding, else to a child of it.

    A run that is not in the store, or not to its end (its outputs came from DVC's cache, the store is new or was
    away), is written from its outputs first.

    Raises:
        UserError: the store does not take it.
    """
    try:
        tracker = Tracker()
        with tracker.alone:
            _record(tracker, params, metrics)
    except refusals() as error:
        raise UserError(
            f"MLflow does not take the record ({first_line(error)}): the results are in {REPORTS}; "
            "`dvc repro` logs them once it does"
        ) from None


def _record(tracker: Tracker, params: Params, metrics: dict[str, float]) -> None:
    identity = identify(params)
    run_id = _new_row(tracker, params, identity)
    if run_id:
        _log_history(tracker, run_id)
        _log_model(tracker, run_id)
    (run,) = tracker.find({RUN_HASH: hash_of(identity)})
    run_id = run.info.run_id
    if run.data.tags[DECODING] != _decoding_hash(params):
        run_id = _child(tracker, params, identity, run_id)
    with (REPORTS / "skipped.csv").open(encoding="utf-8", newline="") as file:
        skipped = len(list(csv.reader(file))) - 1
    tracker.metrics(run_id, [{"step": 0, **metrics, "skipped_pictures": skipped}], "step")
    names = ("skipped.csv", "captions.json", "metrics.json", "intervals.json", "each.csv", "index.html", "figures")
    tracker.artifacts(run_id, [LOCK, *(REPORTS / name for name in names)])
    tracker.tags(run_id, {HASH + name: value for name, value in output_hashes().items()})
    tracker.finish(run_id)


def find_run(tracker: Tracker, name: str) -> Run:
    """The row that a user means.

    Args:
        tracker: the store.
        name: an MLflow run id, or a run hash or any unique beginning of one.

    Raises:
        UserError: there is none, or there are several.
    """
    if not name.isalnum():
        raise UserError(f"{name} is neither a run id nor a run hash: take one from `mlflow ui`")
    runs = tracker.find({RUN_HASH: f"{name}%"}, like=True)
    if not runs:
        runs = [run for run in tracker.find({COMMIT: "%"}, like=True) if run.info.run_id == name]
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise UserError(f"{name} is no run of {tracker.client.tracking_uri}: take an id or a run hash from `mlflow ui`")
    hashes = ", ".join(run.data.tags[RUN_HASH][:12] for run in runs)
    raise UserError(f"{name} is the beginning of several runs ({hashes}): give more of it")


def merit(metric: str, value: float) -> float:
    """What is higher where the metric is better: of a loss its negative."""
    return -value if metric.startswith("val_loss") else value


def _new_row(tracker: Tracker, params: Params, identity: dict[str, Any]) -> str | None:
    """A new row for the run; None where it has one that was logged to its end."""
    run_hash = hash_of(identity)
    for run in tracker.find({RUN_HASH: run_hash}):
        if run.info.status == "FINISHED":
            return None
        # What an interrupted training logged would stand twice in the curves.
        tracker.client.delete_run(run.info.run_id)
    experiment = os.environ.get("DVC_EXP_NAME")
    name = " ".join(part for part in (run_hash[:12], params.data.name, experiment) if part)
    run_id = tracker.create(name, params, {RUN_HASH: run_hash, DECODING: _decoding_hash(params)})
    _log_origin(tracker, run_id, identity, f"captioner reproduce {run_hash[:12]}")
    return run_id


def _child(tracker: Tracker, params: Params, identity: dict[str, Any], parent: str) -> str:
    """The row of another decoding of the run."""
    run_hash, decoding = hash_of(identity), _decoding_hash(params)
    for run in tracker.find({PARENT: parent, DECODING: decoding}):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        # The store went away while the row was made.
        tracker.client.delete_run(run.info.run_id)
    name = f"{run_hash[:12]} {params.decode.split} {params.decode.strategy}"
    run_id = tracker.create(name, params, {OF_RUN: run_hash, DECODING: decoding, PARENT: parent})
    _log_origin(tracker, run_id, identity, f"captioner reproduce {run_id}")
    return run_id


def _log_origin(tracker: Tracker, run_id: str, identity: dict[str, Any], command: str) -> None:
    """Where the run comes from: its identity, parameters, code and environment, and the command that rebuilds it."""
    code, machine = code_of(), environment()
    tags = {"captioner.dirty": str(bool(code.patch)).lower(), "captioner.reproduce": command}
    tags |= {COMMIT: code.commit, "captioner.environment": hash_of(machine)[:12]}
    tags[DEVICE] = machine["gpu"] or machine["cpu"].partition(",")[0]
    if code.patch:
        tracker.file(run_id, "patch.diff", code.patch)
        tags[PATCH] = code.patch_hash
    tracker.tags(run_id, tags)
    tracker.file(run_id, "identity.json", identity)
    tracker.file(run_id, "environment.json", machine)
    tracker.artifacts(run_id, [PARAMS])


def _log_model(tracker: Tracker, run_id: str) -> None:
    tracker.artifacts(run_id, [MODEL, VOCABULARY, LOCK])
    # While train runs, what the stages behind it wrote is still that of the run before.
    tracker.tags(run_id, {HASH + name: value for name, value in output_hashes(until="train").items()})


def _log_history(tracker: Tracker, run_id: str) -> None:
    history = json.loads((MODEL / "history.json").read_text(encoding="utf-8"))
    tracker.metrics(run_id, history["steps"], "step", prefix="step_")
    tracker.metrics(run_id, history["epochs"], "epoch")


def _decoding_hash(params: Params) -> str:
    text = json.dumps(params.decode.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
