"""The MLflow runs that a workspace created and has not completed. It changes or deletes no others.

On a shared server, an unfinished run can be a training on another machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from captioner.common.paths import Workspace
from captioner.common.writing import write_text_atomically
from captioner.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities import Run


def own_runs(store: MlflowStore, tags: dict[str, str]) -> list[Run]:
    """Return this workspace's incomplete runs with these tags, the oldest first."""
    runs = [store.get_run(run_id) for run_id in _read_ids()]
    return [run for run in runs if run and tags.items() <= run.data.tags.items()]


def add_own_run(run_id: str) -> None:
    """Remember that this workspace created a run."""
    _write_ids([*_read_ids(), run_id])


def complete_own_run(run_id: str) -> None:
    """Forget a run, which then stays as it is."""
    _write_ids([other for other in _read_ids() if other != run_id])


def delete_own_run(store: MlflowStore, run_id: str) -> None:
    """Delete a run that this workspace created."""
    store.client.delete_run(run_id)
    complete_own_run(run_id)


def _read_ids() -> list[str]:
    path = Workspace().unfinished_runs
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def _write_ids(ids: list[str]) -> None:
    path = Workspace().unfinished_runs
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, "".join(f"{run_id}\n" for run_id in ids))
