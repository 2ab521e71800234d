"""`captioner verify` and `captioner reproduce`: make a run again in a clean copy, and compare hash by hash."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from captioner.config import UserError, check_params, read_params, repository
from captioner.track.copies import clone, dvc, environment_of_copy
from captioner.track.identity import LOCK, code_hashes, deciding_params, differences, flat, hash_of, identify
from captioner.track.record import Code, code_of, environment, output_hashes
from captioner.track.runs import COMMIT, HASH, OF_RUN, PARAMS, PATCH, RUN_HASH, find_run
from captioner.track.store import Tracker, refusals_in_one_line

# What is made before training: a DVC remote may have it.
UPSTREAM = ("prepare", "tokenize-adapt")


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        identity: see `captioner.track.identity.identify`.
        hashes: of the outputs, by stage and name.
        environment: of the process that made them.
    """

    identity: dict[str, Any]
    hashes: dict[str, str]
    environment: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """What a run is made from: code, ``params.yaml``, and a ``dvc.lock`` by which a DVC remote knows its data."""

    code: Code
    params: str
    lock: dict[str, Any] | None


@refusals_in_one_line()
def verify() -> bool:
    """Trains the workspace's run again in a clean copy, without any cache, and compares.

    Returns:
        Whether all hashes are equal.

    Raises:
        UserError: the workspace has changed since it last ran, or the copy cannot be run.
    """
    params = read_params()
    stale = json.loads(dvc(Path(), "status", "--json"))
    if stale:
        raise UserError(f"the workspace has changed since it last ran ({', '.join(sorted(stale))}): `dvc repro` first")
    identity = identify(params)
    logged = Tracker().find({RUN_HASH: hash_of(identity)})
    machine = _read_json(Tracker(), logged[0].info.run_id, "environment.json") if logged else environment()
    recorded = Record(identity, output_hashes(), machine)
    return compare(recorded, _rebuild(Source(code_of(), PARAMS.read_text(encoding="utf-8"), None), identity))


@refusals_in_one_line()
def reproduce(name: str) -> bool:
    """Rebuilds a run from its record alone, with the code of its commit, and compares.

    Args:
        name: an MLflow run id, or a run hash or any unique beginning of one.

    Returns:
        Whether all hashes are equal.

    Raises:
        UserError: there is no such run, or its record contradicts itself, or its commit is gone.
    """
    tracker = Tracker()
    run = find_run(tracker, name)
    run_id, tags = run.info.run_id, run.data.tags
    if COMMIT not in tags:
        raise UserError(f"run {run.info.run_name} was not logged to its end: `dvc repro` logs it again")
    print(f"run {tags.get(RUN_HASH, tags.get(OF_RUN, ''))[:12]} ({run.info.run_name}), commit {tags[COMMIT][:12]}")
    identity = _read_json(tracker, run_id, "identity.json")
    patch = tracker.read(run_id, "patch.diff") or b""
    text = (tracker.read(run_id, PARAMS.name) or b"").decode()
    lock = yaml.safe_load(tracker.read(run_id, LOCK.name) or b"")
    source = Source(Code(tags[COMMIT], patch), text, lock)
    _check(source, identity, tags, run.data.params)
    hashes = {key.removeprefix(HASH): value for key, value in tags.items() if key.startswith(HASH)}
    recorded = Record(identity, hashes, _read_json(tracker, run_id, "environment.json"))
    return compare(recorded, _rebuild(source, identity))


def compare(recorded: Record, rebuilt: Record) -> bool:
    """Prints the hashes side by side and what may explain a difference; whether all are equal."""
    pairs = {"run hash": (hash_of(recorded.identity), hash_of(rebuilt.identity))}
    for name in _in_order(recorded.hashes | rebuilt.hashes):
        pairs[name] = recorded.hashes.get(name, "none"), rebuilt.hashes.get(name, "none")
    table = Table("output", "recorded", "rebuilt", "")
    for name, (one, two) in pairs.items():
        table.add_row(name, one[:12], two[:12], "equal" if one == two else "[red]DIFFERS[/red]")
    Console().print(table)
    unequal = [name for name, (one, two) in pairs.items() if one != two]
    if not unequal:
        print(f"all {len(pairs)} hashes are equal")
        return True
    print(f"{len(unequal)} of {len(pairs)} hashes differ, first: {unequal[0]}")
    for line in differences(recorded.identity, rebuilt.identity):
        print(f"  inputs: {line}")
    for line in differences(recorded.environment, rebuilt.environment) or ["none"]:
        print(f"  environments: {line}")
    return False


def _in_order(hashes: dict[str, str]) -> list[str]:
    stages = ("prepare", "tokenize-adapt", "train", "sample", "evaluate")
    return sorted(hashes, key=lambda name: (stages.index(name.partition(".")[0]), name))


def _read_json(tracker: Tracker, run_id: str, name: str) -> dict[str, Any]:
    content = tracker.read(run_id, name)
    if content is None:
        raise UserError(f"run {run_id} has no {name}: it was not logged to its end, so it cannot be rebuilt")
    tree: dict[str, Any] = json.loads(content)
    return tree


def _check(source: Source, identity: dict[str, Any], tags: dict[str, str], logged: dict[str, str]) -> None:
    """Finds what was changed in a record after it was written."""
    params = check_params(yaml.safe_load(source.params))
    found = differences({"params": identity["params"]}, {"params": deciding_params(params)})
    found += differences(
        {"MLflow's parameters": logged},
        {"MLflow's parameters": {key: str(value) for key, value in flat(params.model_dump())}},
    )
    if hash_of(identity) != tags.get(RUN_HASH, tags.get(OF_RUN)):
        found.append("identity.json does not give the run hash")
    if source.code.patch_hash != tags.get(PATCH, ""):
        found.append("patch.diff is not the one that was recorded")
    if found:
        raise UserError("the record contradicts itself: " + "; ".join(found))


def _rebuild(source: Source, identity: dict[str, Any]) -> Record:
    """Runs the pipeline in a clean copy of the repository."""
    with _copy(source.code) as copy:
        (copy / PARAMS).write_text(source.params, encoding="utf-8")
        changed = differences({"code": identity["code"]}, {"code": code_hashes(copy, (*UPSTREAM, "train"))})
        if changed:
            raise UserError("the code is not that of the run: " + "; ".join(changed))
        (copy / LOCK).unlink(missing_ok=True)
        if source.lock:
            _pull(copy, source.lock)
        _run("dvc", "repro", folder=copy)
        tracker = Tracker(_store_of(copy))
        (run,) = tracker.find({RUN_HASH: "%"}, like=True)
        return Record(_read_json(tracker, run.info.run_id, "identity.json"), output_hashes(copy), environment(copy))


@contextmanager
def _copy(code: Code) -> Iterator[Path]:
    """A clone of the repository with a DVC cache of its own: a shared one would give the model back untrained."""
    root = repository()
    with TemporaryDirectory(prefix="rebuild-", dir=root / ".dvc" / "tmp") as folder:
        copy = Path(folder) / "copy"
        clone(root, code, copy, cache=copy / ".dvc" / "cache")
        yield copy


def _pull(copy: Path, lock: dict[str, Any]) -> None:
    """Takes from the DVC remotes, where there are any, what was made before training."""
    remotes = [line.split()[:2] for line in dvc(repository(), "remote", "list").splitlines()]
    for name, url in remotes:
        dvc(copy, "remote", "modify", "--local", name, "url", url)
    if remotes:
        stages = {name: stage for name, stage in lock["stages"].items() if name in UPSTREAM}
        (copy / LOCK).write_text(yaml.safe_dump({"schema": lock["schema"], "stages": stages}), encoding="utf-8")
        _run("dvc", "pull", "--allow-missing", *UPSTREAM, folder=copy, check=False)


def _store_of(copy: Path) -> str:
    return f"sqlite:///{copy / 'mlflow.db'}"


def _run(*command: str, folder: Path, check: bool = True) -> None:
    """Runs a program in the copy; what it says is shown, and the record stays in the copy."""
    variables = environment_of_copy(repository()) | {"MLFLOW_TRACKING_URI": _store_of(folder)}
    status = subprocess.run(command, cwd=folder, env=variables, check=False).returncode
    if check and status:
        raise UserError(f"`{' '.join(command)}` failed in the copy (status {status}); what it said stands above")
