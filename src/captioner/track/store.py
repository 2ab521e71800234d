"""The experiment in MLflow: finding, creating and filling runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from captioner.config import Params, UserError, repository
from captioner.track.identity import flat

if TYPE_CHECKING:
    from mlflow.entities import Run

# Read when mlflow is imported: it would talk of its migrations and of each file.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A server that is away holds nothing up for long: seven tries, MLflow's own number, take four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

EXPERIMENT = "captioner"
# What the user interface is to show: training runs, not conversations.
KIND = {"mlflow.experimentKind": "custom_model_development"}

# The store refuses more metrics at once.
BATCH = 1000


class Tracker:
    """The experiment in the tracking store: `MLFLOW_TRACKING_URI`, or ``mlflow.db`` in the user's repository.

    The repository is the one the user works in also when a stage runs in a copy of it.
    Whatever it is asked, it may raise one of `refusals`.

    Attributes:
        alone: held by one process at a time, where the store is a file: two would make the database, or a row, twice.

    Raises:
        UserError: the store cannot be reached.
    """

    def __init__(self, address: str | None = None) -> None:
        from mlflow import MlflowClient  # slow to import

        address = address or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository() / 'mlflow.db'}"
        file = _file_of(address)
        self.alone = FileLock(f"{file}.lock") if file else nullcontext()
        try:
            with self.alone:
                if file and not file.exists():
                    _make_database(file)
                self.client = MlflowClient(address)
                experiment = self.client.get_experiment_by_name(EXPERIMENT)
                # MLflow's own place for artifacts would be in the current folder; a server knows its own.
                place = (file.parent / "mlruns").as_uri() if file else None
                self.experiment_id = (
                    experiment.experiment_id
                    if experiment
                    else self.client.create_experiment(EXPERIMENT, artifact_location=place, tags=KIND)
                )
        except refusals() as error:
            raise UserError(f"MLflow at {address} does not answer: {first_line(error)}") from None

    def find(self, tags: dict[str, str], like: bool = False) -> list[Run]:
        """The runs that carry these tags, the newest first; ``like`` takes ``%`` for any end of a value."""
        sign = "LIKE" if like else "="
        wanted = " and ".join(f"tags.`{key}` {sign} '{value}'" for key, value in tags.items())
        runs: list[Run] = self.client.search_runs([self.experiment_id], wanted)
        return runs

    def create(self, name: str, params: Params, tags: dict[str, str]) -> str:
        """A new run with all parameters, one by one (``model.units``)."""
        from mlflow.entities import Param

        run_id: str = self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flat(params.model_dump())])
        return run_id

    def tags(self, run_id: str, tags: dict[str, str]) -> None:
        """Sets these tags, whatever they were."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

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

    def file(self, run_id: str, name: str, content: bytes | dict[str, Any]) -> None:
        """Logs bytes, or a tree as JSON, as an artifact."""
        if isinstance(content, dict):
            content = json.dumps(content, indent=1, sort_keys=True).encode()
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            self.client.log_artifact(run_id, str(path))

    def read(self, run_id: str, name: str) -> bytes | None:
        """The artifact of this name; None where there is none."""
        if name not in {artifact.path for artifact in self.client.list_artifacts(run_id)}:
            return None
        with TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()

    def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Closes the run."""
        self.client.set_terminated(run_id, status)


def refusals() -> tuple[type[Exception], ...]:
    """What `Tracker` and its store raise where it cannot be reached, or does not take what it is told."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return UserError, MlflowException, SQLAlchemyError, OSError


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Around a command that asks the store: what it raises becomes an error of one line.

    Raises:
        UserError: the store cannot be reached, or does not take what it is told.
    """
    try:
        yield
    except UserError:
        raise
    except refusals() as error:
        if isinstance(error, OSError) and error.errno:  # of a file, not of the store
            raise
        raise UserError(f"MLflow: {first_line(error)}: the same command goes on once it answers") from None


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _file_of(address: str) -> Path | None:
    """The database file; None where the store is a server."""
    file = address.removeprefix("sqlite:///")
    return Path(file).resolve() if file != address else None


def _make_database(file: Path) -> None:
    """MLflow makes its tables in many steps, and cannot go on in the middle of them after a full disk or a SIGKILL."""
    from mlflow import MlflowClient

    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        MlflowClient(f"sqlite:///{partial}").search_experiments()
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _now() -> int:
    from mlflow.utils.time import get_current_time_millis

    return int(get_current_time_millis())
