"""The experiment in MLflow: search, creation and content of runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from captioner.common.errors import UserError, first_line
from captioner.common.paths import repository_root
from captioner.config.params import Params, flatten

if TYPE_CHECKING:
    from mlflow.entities import Run

# MLflow reads these when it is imported. Otherwise it prints its migrations and a progress bar for each file.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's default of seven retries would block a training for four minutes if the server is down.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

EXPERIMENT = "captioner"
MAX_METRICS_PER_REQUEST = 1000  # MLflow's limit
RUNS_PER_PAGE = 1000


class MlflowStore:
    """The experiment in the tracking store: `MLFLOW_TRACKING_URI`, or ``mlflow.db`` in the user's repository.

    A stage that runs in a copy of the repository uses the store of the user's repository too.
    Every method may raise one of `store_errors`.

    Args:
        address: an MLflow tracking URI.
        create: whether to create the database and the experiment if they are missing; False for commands that only
            read.

    Attributes:
        lock: a context manager that one process at a time can hold if the store is a file. Without it two processes
            would create the database, or a run, twice.

    Raises:
        UserError: the store cannot be reached, or is missing and ``create`` is False.
    """

    def __init__(self, address: str | None = None, create: bool = True) -> None:
        from mlflow import MlflowClient  # slow to import

        address = address or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{repository_root() / 'mlflow.db'}"
        file = _database_file(address)
        if file and not create and not file.exists():
            raise UserError(f"there is no {file}: go to the repository's folder, or make a run with `dvc repro`")
        self.lock = FileLock(f"{file}.lock") if file else nullcontext()
        try:
            with self.lock:
                if file and not file.exists():
                    _create_database(file)
                self.client = MlflowClient(address)
                experiment = self.client.get_experiment_by_name(EXPERIMENT)
                if not experiment and not create:
                    raise UserError(f"MLflow at {address} has no experiment {EXPERIMENT}: make a run with `dvc repro`")
                # MLflow's default folder for artifacts is relative to the current folder; a server has its own default.
                artifacts = (file.parent / "mlruns").as_uri() if file else None
                known_id = experiment.experiment_id if experiment else None
                self.experiment_id = known_id or self.client.create_experiment(EXPERIMENT, artifacts)
        except UserError:
            raise
        except store_errors() as error:
            raise UserError(f"MLflow at {address} does not answer: {first_line(error)}") from None

    def search(self, tags: dict[str, str], like: bool = False) -> list[Run]:
        """Return all runs with these tags, the newest first; with ``like``, ``%`` in a value matches any text."""
        operator = "LIKE" if like else "="
        condition = " and ".join(f"tags.`{key}` {operator} '{value}'" for key, value in tags.items())
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], condition, max_results=RUNS_PER_PAGE, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def get_run(self, run_id: str) -> Run | None:
        """Return the run with this id, or None if there is none or it was deleted."""
        runs = self.client.search_runs([self.experiment_id], f"attributes.run_id = '{run_id}'")
        return next(iter(runs), None)

    def create_run(self, name: str, tags: dict[str, str]) -> str:
        """Create a run and return its id."""
        run_id: str = self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id
        return run_id

    def log_params(self, run_id: str, params: Params) -> None:
        """Log each parameter under its full key (``model.units``)."""
        from mlflow.entities import Param

        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten(params.model_dump())])

    def set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags of a run; existing values are replaced."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_metrics(self, run_id: str, rows: list[dict[str, float]], step_key: str, prefix: str = "") -> None:
        """Log all values of each row at the step that the row holds under ``step_key``."""
        from mlflow.entities import Metric

        milliseconds = time.time_ns() // 1_000_000
        metrics = [
            Metric(prefix + key, float(value), milliseconds, int(row[step_key]))
            for row in rows
            for key, value in row.items()
            if key not in ("step", "epoch")
        ]
        for start in range(0, len(metrics), MAX_METRICS_PER_REQUEST):
            self.client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS_PER_REQUEST])

    def log_artifacts(self, run_id: str, paths: list[Path]) -> None:
        """Log files and folders under their own names; missing ones are left out."""
        for path in filter(Path.exists, paths):
            self.client.log_artifact(run_id, str(path))

    def log_file(self, run_id: str, name: str, content: bytes | dict[str, Any]) -> None:
        """Log bytes, or a tree as JSON, as the artifact ``name``."""
        if isinstance(content, dict):
            content = json.dumps(content, indent=1, sort_keys=True).encode()
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            self.client.log_artifact(run_id, str(path))

    def read_artifact(self, run_id: str, name: str) -> bytes | None:
        """Return the content of an artifact, or None if the run has none of this name."""
        if name not in {artifact.path for artifact in self.client.list_artifacts(run_id)}:
            return None
        with TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()

    def read_json(self, run_id: str, name: str) -> dict[str, Any]:
        """Return an artifact that holds a JSON object.

        Raises:
            UserError: the run has no such artifact.
        """
        content = self.read_artifact(run_id, name)
        if content is None:
            raise UserError(f"run {run_id} has no {name}: it was not logged completely, so it cannot be rebuilt")
        tree: dict[str, Any] = json.loads(content)
        return tree

    def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Set the final status of a run."""
        self.client.set_terminated(run_id, status)


def store_errors() -> tuple[type[Exception], ...]:
    """Return the errors that `MlflowStore` raises if its store cannot be reached or rejects a request."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return UserError, MlflowException, SQLAlchemyError, OSError


@contextmanager
def store_errors_in_one_line() -> Iterator[None]:
    """Turn the errors of a store into one line.

    Raises:
        UserError: the store cannot be reached or rejects a request.
    """
    try:
        yield
    except UserError:
        raise
    except store_errors() as error:
        if isinstance(error, OSError) and error.errno:  # from a file, not from the store
            raise
        raise UserError(f"MLflow: {first_line(error)}: run the same command again once it answers") from None


def _database_file(address: str) -> Path | None:
    """Return the path of the database, or None if the store is a server."""
    file = address.removeprefix("sqlite:///")
    return Path(file).resolve() if file != address else None


def _create_database(file: Path) -> None:
    """Create the database under another name first.

    MLflow creates its tables in many steps, and cannot use a database in which a full disk or a SIGKILL left some out.
    """
    from mlflow import MlflowClient

    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        MlflowClient(f"sqlite:///{partial}").search_experiments()
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
