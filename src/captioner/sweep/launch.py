"""Start of a sweep: a snapshot of code and configuration that all jobs share, and the parent run in MLflow."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from captioner.common.errors import UserError
from captioner.common.writing import make_empty_folder
from captioner.tracking import tags as tag
from captioner.tracking.experiment_view import SOURCE_TAG, source_tags
from captioner.tracking.mlflow_store import MlflowStore
from captioner.tracking.provenance import CODE_PATHS, CodeVersion, read_code_version
from captioner.tracking.runs import finished_runs, is_scored

SWEEPS = Path(".dvc/tmp/sweeps")
JOB_RESULTS = SWEEPS / "done"
# Holds the sweep's folder in the environment of the processes that run its jobs, also on other machines of a cluster.
SWEEP_FOLDER_VARIABLE = "CAPTIONER_SWEEP"
# The tag of a parent run that holds the name of its sweep.
SWEEP_TAG = "captioner.sweep"


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        root: the repository.
        name: that of the preset (``sweep=...``), or one derived from the overrides.
        commit: the commit of the code.
        parent_run_id: the MLflow run that the runs of the jobs are nested under.
    """

    root: str
    name: str
    commit: str
    parent_run_id: str

    @property
    def folder(self) -> Path:
        """The sweep's files: the snapshot of ``conf/``, ``patch.diff``, and the log and answer of each job."""
        return Path(self.root) / SWEEPS / self.name

    @property
    def code(self) -> CodeVersion:
        return CodeVersion(self.commit, (self.folder / "patch.diff").read_bytes())

    @classmethod
    def from_environment(cls) -> Sweep:
        """Return the sweep that this process runs a job of."""
        file = Path(os.environ[SWEEP_FOLDER_VARIABLE]) / "sweep.json"
        return cls(**json.loads(file.read_text(encoding="utf-8")))


@contextmanager
def start_sweep(overrides: list[str]) -> Iterator[Sweep]:
    """Start a sweep with the present code and configuration, and lock it against a second start.

    Raises:
        UserError: the current folder is not the repository, or the sweep is already running.
    """
    # Each job composes params.yaml anew, so that of the workspace is no part of the code.
    code = read_code_version(paths=[path for path in CODE_PATHS if path != "params.yaml"])
    if not code.commit or not Path("conf/config.yaml").exists():
        raise UserError(
            f"{Path.cwd()} is not the repository: go to its folder, which git tracks and which contains conf/"
        )
    name = _name_sweep(overrides)
    lock = FileLock(lock_path(Path.cwd(), name), timeout=0)
    try:
        held = lock.acquire()
    except Timeout:
        raise UserError(f"the sweep {name} is running already: wait for it, or stop it") from None
    with held:
        yield _create_sweep(name, code)


def discard_sweep(sweep: Sweep) -> None:
    """Remove the files and the parent run of a sweep that Hydra rejected. A parent with earlier jobs is kept."""
    store = MlflowStore()
    if store.search({tag.PARENT_RUN: sweep.parent_run_id}):
        store.finish(sweep.parent_run_id)
    else:
        store.client.delete_run(sweep.parent_run_id)
    shutil.rmtree(sweep.folder)


def lock_path(root: Path, name: str) -> Path:
    """Return the lock file of a task that one process may do at a time."""
    folder = root / SWEEPS / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.lock"


def _create_sweep(name: str, code: CodeVersion) -> Sweep:
    """Write the snapshot, and set the environment of the jobs."""
    sweep = Sweep(str(Path.cwd()), name, code.commit, _reopen_or_create_parent_run(name))
    make_empty_folder(sweep.folder)
    shutil.copytree("conf", sweep.folder / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    (sweep.folder / "patch.diff").write_bytes(code.patch)
    (sweep.folder / "sweep.json").write_text(json.dumps(asdict(sweep)), encoding="utf-8")
    os.environ[SWEEP_FOLDER_VARIABLE] = str(sweep.folder)
    # Jobs on other machines unpickle Hydra's state, which refers to the plugin in conf/.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(sweep.folder / "conf"), os.environ.get("PYTHONPATH")]))
    _remove_unlogged_results(Path(sweep.root))
    return sweep


def _name_sweep(overrides: list[str]) -> str:
    """Return a name that depends on the parameters of the jobs, not on the launcher."""
    chosen = [override for override in overrides if not override.startswith("hydra")]
    presets = [override.partition("=")[2] for override in chosen if override.startswith("sweep=")]
    if presets and len(chosen) == 1:
        return presets[0]
    return f"sweep-{hashlib.sha256(' '.join(sorted(chosen)).encode()).hexdigest()[:8]}"


def _remove_unlogged_results(root: Path) -> None:
    """Remove results whose run is missing in MLflow. The job then runs again, from DVC's cache, and logs its run.

    Jobs that differ only in the decoding share run hash and weights: each needs a run with its decoding.
    """
    store = MlflowStore()
    for path in (root / JOB_RESULTS).glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        decoding = {key: str(value) for key, value in result["params"].items() if key.startswith("decode.")}
        runs = finished_runs(store, result["run_hash"], result.get("weights_hash", ""))
        if not any(is_scored(run) and decoding.items() <= run.data.params.items() for run in runs):
            path.unlink(missing_ok=True)


def _reopen_or_create_parent_run(name: str) -> str:
    """Return the id of the sweep's run in MLflow.

    Only a run that this repository created is opened again: on a shared server, another user can run a sweep of the
    same name. This also creates MLflow's database, which no two jobs may do at once.
    """
    store, note = MlflowStore(), SWEEPS / "parents" / name
    run = store.get_run(note.read_text(encoding="utf-8")) if note.exists() else None
    if run:
        store.client.update_run(run.info.run_id, "RUNNING")
        return str(run.info.run_id)
    tags = {SWEEP_TAG: name, **source_tags(), SOURCE_TAG: "captioner sweep"}
    run_id = str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(run_id, encoding="utf-8")
    return run_id
