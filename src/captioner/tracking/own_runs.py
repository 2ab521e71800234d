"""The MLflow runs that a workspace created and has not completed. It changes or deletes no others.

On a shared server, an unfinished run can be a training on another machine.
"""

from __future__ import annotations

from captioner.common.paths import Workspace
from captioner.common.writing import write_text_atomically
from captioner.tracking.mlflow_store import MlflowStore


def own_run_ids() -> list[str]:
    """Return the ids of this workspace's incomplete runs, the oldest first."""
    path = Workspace().unfinished_runs
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def add_own_run(run_id: str) -> None:
    """Remember that this workspace created a run."""
    _write_ids([*own_run_ids(), run_id])


def complete_own_run(run_id: str) -> None:
    """Forget a run, which then stays as it is."""
    _write_ids([other for other in own_run_ids() if other != run_id])


def delete_own_run(store: MlflowStore, run_id: str) -> None:
    """Delete a run that this workspace created."""
    store.client.delete_run(run_id)
    complete_own_run(run_id)


def _write_ids(ids: list[str]) -> None:
    path = Workspace().unfinished_runs
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, "".join(f"{run_id}\n" for run_id in ids))
