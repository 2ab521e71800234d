"""What all points of a sweep share: the code and the configuration of the moment at which it was started."""

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

from captioner.config import UserError
from captioner.disk import fresh_folder
from captioner.track.record import CODE, Code, code_of
from captioner.track.runs import PARENT, RUN_HASH
from captioner.track.store import Tracker

SWEEPS = Path(".dvc/tmp/sweeps")
DONE = SWEEPS / "done"
# Names the sweep's folder to the processes that run its points, on another machine of a cluster too.
FOLDER = "CAPTIONER_SWEEP"
# On the parent run: the sweep's name.
SWEEP = "captioner.sweep"


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        root: the repository.
        name: of the preset (``sweep=...``), or made from the overrides.
        commit: the code's commit.
        parent: the id of its run in MLflow.
    """

    root: str
    name: str
    commit: str
    parent: str

    @property
    def folder(self) -> Path:
        """Its own files: ``conf/`` and ``patch.diff`` as they were, and what its jobs answered."""
        return Path(self.root) / SWEEPS / self.name

    @property
    def code(self) -> Code:
        return Code(self.commit, (self.folder / "patch.diff").read_bytes())

    @classmethod
    def of_process(cls) -> Sweep:
        """The sweep that this process works for."""
        return cls(**json.loads((Path(os.environ[FOLDER]) / "sweep.json").read_text(encoding="utf-8")))


@contextmanager
def started(overrides: list[str]) -> Iterator[Sweep]:
    """A sweep with code and configuration as they are now, and its parent run; it starts no second time meanwhile.

    Raises:
        UserError: this is no repository, or the sweep is running already.
    """
    # The composition of each point takes the place of params.yaml.
    code = code_of(paths=[path for path in CODE if path != "params.yaml"])
    if not code.commit or not Path("conf/config.yaml").exists():
        raise UserError(f"{Path.cwd()} is not the repository: go to its folder, in git, with conf/ in it")
    name = _name(overrides)
    lock = FileLock(lock_file(Path.cwd(), name), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"the sweep {name} is running already: wait for it, or stop it") from None
    try:
        yield _start(name, code)
    finally:
        lock.release()


def _start(name: str, code: Code) -> Sweep:
    sweep = Sweep(str(Path.cwd()), name, code.commit, _parent(name))
    fresh_folder(sweep.folder)
    shutil.copytree("conf", sweep.folder / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    (sweep.folder / "patch.diff").write_bytes(code.patch)
    (sweep.folder / "sweep.json").write_text(json.dumps(asdict(sweep)), encoding="utf-8")
    os.environ[FOLDER] = str(sweep.folder)
    # Jobs on other machines unpickle what Hydra holds, our plugin in conf/ included.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(sweep.folder / "conf"), os.environ.get("PYTHONPATH")]))
    _forget_unlogged(Path(sweep.root))
    return sweep


def discard(sweep: Sweep) -> None:
    """For a sweep that Hydra refuses: leaves no run and no files, unless points of earlier times are under the run."""
    tracker = Tracker()
    if tracker.find({PARENT: sweep.parent}):
        tracker.finish(sweep.parent)
    else:
        tracker.client.delete_run(sweep.parent)
    shutil.rmtree(sweep.folder)


def lock_file(root: Path, name: str) -> Path:
    """Of what only one process may do at a time."""
    folder = root / SWEEPS / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.lock"


def _name(overrides: list[str]) -> str:
    """The same for the same points, whatever launches them."""
    chosen = [word for word in overrides if not word.startswith("hydra")]
    presets = [word.partition("=")[2] for word in chosen if word.startswith("sweep=")]
    if presets and len(chosen) == 1:
        return presets[0]
    return f"sweep-{hashlib.sha256(' '.join(sorted(chosen)).encode()).hexdigest()[:8]}"


def _forget_unlogged(root: Path) -> None:
    """A point whose row has left the store counts as not done: DVC's cache gives it back, and so the row."""
    tracker = Tracker()
    for known in (root / DONE).glob("*.json"):
        if not tracker.find({RUN_HASH: json.loads(known.read_text(encoding="utf-8"))["run_hash"]}):
            known.unlink(missing_ok=True)


def _parent(name: str) -> str:
    """The id of the sweep's run. It is made first, so that no two points race for making the database."""
    tracker = Tracker()
    for run in tracker.find({SWEEP: name}):
        tracker.client.update_run(run.info.run_id, "RUNNING")
        return str(run.info.run_id)
    return str(tracker.client.create_run(tracker.experiment_id, tags={SWEEP: name}, run_name=name).info.run_id)
