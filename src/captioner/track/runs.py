"""The experiment's row in MLflow: one run for each run hash, a child for each further way of decoding it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captioner.config import Params, repository
from captioner.track.identity import run_hash

EXPERIMENT = "captioner"
RUN_HASH = "captioner.run_hash"
DECODING = "captioner.decoding"
PARENT = "mlflow.parentRunId"

MODEL = Path("models/captioner")
VOCABULARY = Path("data/tokens/vocabulary.txt")
HISTORY = MODEL / "history.json"
REPORTS = Path("reports")

# The store refuses more metrics at once.
BATCH = 1000


class Tracker:
    """The experiment in the tracking store: `MLFLOW_TRACKING_URI`, or ``mlflow.db`` in the user's repository.

    The repository is the one the user works in also when a stage runs in a copy of it, and so are the artifacts.
    """

    def __init__(self) -> None:
        # It would talk of its migrations; and it is slow to import.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow import MlflowClient

        address = os.environ.get("MLFLOW_TRACKING_URI")
        self.client = MlflowClient(address or f"sqlite:///{repository() / 'mlflow.db'}")
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        self.experiment_id = (
            experiment.experiment_id
            if experiment
            else self.client.create_experiment(
                EXPERIMENT, artifact_location=None if address else (repository() / "mlruns").as_uri()
            )
        )

    def find(self, **tags: str) -> str | None:
        """The id of the run that carries these tags (dots are written as double underscores)."""
        wanted = " and ".join(f"tags.`{key.replace('__', '.')}` = '{value}'" for key, value in tags.items())
        runs = self.client.search_runs([self.experiment_id], wanted, max_results=1)
        return runs[0].info.run_id if runs else None

    def create(self, name: str, params: Params, tags: dict[str, str]) -> str:
        """A new run with all parameters, one by one (``model.units``)."""
        run_id: str = self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id
        for key, value in _flat(params.model_dump()):
            self.client.log_param(run_id, key, value)
        return run_id

    def metrics(self, run_id: str, rows: list[dict[str, float]], step: str, prefix: str = "") -> None:
        """Logs every value of each row at the row's own ``step``."""
        from mlflow.entities import Metric

        now = _now()
        entities = [
            Metric(prefix + key, float(value), now, int(row[step]))
            for row in rows
            for key, value in row.items()
            if key not in ("step", "epoch")
        ]
        for first in range(0, len(entities), BATCH):
            self.client.log_batch(run_id, metrics=entities[first : first + BATCH])

    def artifacts(self, run_id: str, paths: list[Path]) -> None:
        """Logs files and folders, each under its own name."""
        for path in paths:
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), path.name)
            elif path.exists():
                self.client.log_artifact(run_id, str(path))

    def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Closes the run."""
        self.client.set_terminated(run_id, status)


@contextmanager
def watch_training(params: Params) -> Iterator[Callable[..., None]]:
    """Logs each epoch as it ends. A run that was trained before keeps its row as it is."""
    tracker = Tracker()
    identity = run_hash(params)
    print(f"run {identity[:12]}")
    run_id = tracker.find(captioner__run_hash=identity)
    known = run_id is not None and tracker.client.get_run(run_id).info.status == "FINISHED"
    if run_id is not None and not known:
        # What an interrupted training logged would stand twice in the curves.
        tracker.client.delete_run(run_id)
    if run_id is None or not known:
        run_id = _create(tracker, params, identity)

    def watch(steps: list[dict[str, float]], epoch: dict[str, float], captions_per_second: float) -> None:
        if not known:
            tracker.metrics(run_id, steps, "step", prefix="step_")
            tracker.metrics(run_id, [{**epoch, "captions_per_second": captions_per_second}], "epoch")

    try:
        yield watch
    except BaseException as error:
        if not known:
            tracker.finish(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    if not known:
        tracker.artifacts(run_id, [MODEL, VOCABULARY, Path("params.yaml")])
        tracker.finish(run_id)


def record_scores(params: Params, metrics: dict[str, float]) -> None:
    """Logs scores, captions and figures: the first decoding to the run itself, each other one to a child of it.

    A run that is not in the store (its outputs came from DVC's cache, or the store is new) is written from its
    outputs.
    """
    tracker = Tracker()
    identity = run_hash(params)
    run_id = tracker.find(captioner__run_hash=identity) or _restore(tracker, params, identity)
    decoding = _decoding_hash(params)
    first = tracker.client.get_run(run_id).data.tags.get(DECODING)
    if first is None:
        tracker.client.set_tag(run_id, DECODING, decoding)
    elif first != decoding:
        run_id = _child(tracker, params, run_id, identity, decoding)
    tracker.metrics(run_id, [{"step": 0, **metrics}], "step")
    names = ("captions.json", "metrics.json", "index.html", "figures")
    tracker.artifacts(run_id, [REPORTS / name for name in names])
    tracker.finish(run_id)


def _child(tracker: Tracker, params: Params, parent: str, identity: str, decoding: str) -> str:
    child = tracker.find(captioner__decoding=decoding, mlflow__parentRunId=parent)
    decode = params.decode
    return child or tracker.create(
        f"{identity[:12]} {decode.split} {decode.strategy}", params, {DECODING: decoding, PARENT: parent}
    )


def _create(tracker: Tracker, params: Params, identity: str) -> str:
    experiment = os.environ.get("DVC_EXP_NAME")
    name = " ".join(part for part in (identity[:12], params.data.name, experiment) if part)
    return tracker.create(name, params, {RUN_HASH: identity})


def _restore(tracker: Tracker, params: Params, identity: str) -> str:
    run_id = _create(tracker, params, identity)
    history = json.loads(HISTORY.read_text(encoding="utf-8"))
    tracker.metrics(run_id, history["steps"], "step", prefix="step_")
    tracker.metrics(run_id, history["epochs"], "epoch")
    tracker.artifacts(run_id, [MODEL, VOCABULARY, Path("params.yaml")])
    return run_id


def _decoding_hash(params: Params) -> str:
    text = json.dumps(params.decode.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _now() -> int:
    from mlflow.utils.time import get_current_time_millis

    return int(get_current_time_millis())
