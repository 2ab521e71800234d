"""`captioner verify` and `captioner reproduce`: repeat a run in a clean copy, and compare the hashes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rich.table import Table

from captioner.common.console import print_table
from captioner.common.errors import UserError
from captioner.common.paths import STAGES, Workspace, repository_root
from captioner.config.params import Params, check_params, flatten, read_params
from captioner.tracking import tags as tag
from captioner.tracking.environment import read_logged_environments
from captioner.tracking.mlflow_store import MlflowStore, store_errors_in_one_line
from captioner.tracking.provenance import DATA_STAGES, CodeVersion, output_hashes, read_code_version
from captioner.tracking.run_hash import code_hashes, deciding_params, hash_identity, run_identity, tree_differences
from captioner.tracking.runs import FINISHED, IDENTITY_FILE, PATCH_FILE, find_run, finished_runs
from captioner.tracking.workspace_copy import clone_workspace, run_dvc, workspace_environment

TABLE_WIDTH = 80  # characters, if standard output is not a terminal
MAX_KEYS = 5  # of an environment's differences, named in one line


@dataclass(frozen=True)
class Record:
    """A run's identity (see `run_identity`), and the hashes of its outputs by stage and name.

    ``environment`` is that of the process that trained the model, or of the last one if the training was resumed.
    ``earlier_environments`` are those of the processes before, if they differ.
    """

    identity: dict[str, Any]
    hashes: dict[str, str]
    environment: dict[str, Any]
    earlier_environments: list[dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """What a run is rebuilt from: its code, the text of ``params.yaml``, and the content of ``dvc.lock``.

    A DVC remote finds the data by ``lock``; it is None if no data is to be pulled.
    """

    code: CodeVersion
    params: str
    lock: dict[str, Any] | None


@store_errors_in_one_line()
def verify() -> bool:
    """Repeat the workspace's run in a clean copy, without any cache, and return whether all hashes are equal.

    Raises:
        UserError: the workspace has changed since its last run, or the stages fail in the copy.
    """
    params, workspace = read_params(), Workspace()
    stale = json.loads(run_dvc(workspace.root, "status", "--json"))
    if stale:
        raise UserError(f"the workspace has changed since its last run ({', '.join(sorted(stale))}): `dvc repro` first")
    identity, hashes = run_identity(params), output_hashes()
    store = MlflowStore(create=False)
    runs = finished_runs(store, hash_identity(identity), hashes["train.weights"])
    if not runs:
        raise UserError("the workspace's run is not in MLflow: `dvc repro` logs it")
    recorded = Record(identity, hashes, *read_logged_environments(store, runs[0].info.run_id))
    source = Source(read_code_version(), workspace.params.read_text(encoding="utf-8"), None)
    return _compare_with_rebuilt(store, recorded, source)


@store_errors_in_one_line()
def reproduce(name: str, trust: bool) -> bool:
    """Rebuild a run from its record alone, with the code of its commit, and return whether all hashes are equal.

    Args:
        name: as for `find_run`.
        trust: whether to run code in a patch that this repository did not record. Anybody who may write to the MLflow
            server could have put it there.

    Raises:
        UserError: the run does not exist, its record contradicts itself, its commit is missing, or its patch is not
            trusted.
    """
    store, workspace = MlflowStore(create=False), Workspace()
    run = find_run(store, name)
    run_id, tags = run.info.run_id, run.data.tags
    if tag.COMMIT not in tags:
        raise UserError(f"run {run.info.run_name} was not logged completely: `dvc repro` logs it again")
    print(f"run {_recorded_run_hash(tags)[:12]} ({run.info.run_name}), commit {tags[tag.COMMIT][:12]}")
    identity = store.read_json(run_id, IDENTITY_FILE)
    patch = store.read_artifact(run_id, PATCH_FILE) or b""
    params = (store.read_artifact(run_id, workspace.params.name) or b"").decode()
    lock = yaml.safe_load(store.read_artifact(run_id, workspace.dvc_lock.name) or b"")
    source = Source(CodeVersion(tags[tag.COMMIT], patch), params, lock)
    check_consistency(source, identity, tags, run.data.params)
    if not (trust or source.code.changes_only_params() or source.code.is_remembered()):
        raise UserError(
            f"run {run.info.run_name} has uncommitted changes that this repository did not record, and rebuilding it "
            f"would run them: read them (mlflow artifacts download -r {run_id} -a {PATCH_FILE}), then add --trust"
        )
    prefix = tag.OUTPUT_HASH_PREFIX
    hashes = {key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)}
    recorded = Record(identity, hashes, *read_logged_environments(store, run_id))
    return _compare_with_rebuilt(store, recorded, source)


def _compare_with_rebuilt(store: MlflowStore, recorded: Record, source: Source) -> bool:
    """Rebuild a run, print the comparison, and return whether all hashes are equal."""
    rebuilt = _rebuild(source, recorded.identity)
    equal = compare_records(recorded, rebuilt)
    if not equal and recorded.identity == rebuilt.identity:
        print(_describe_nearest_run(store, rebuilt))
    return equal


def _describe_nearest_run(store: MlflowStore, rebuilt: Record) -> str:
    """Return one line about the run with this run hash whose environment differs least from the rebuild's."""
    runs = [run for run in store.search({tag.RUN_HASH: hash_identity(rebuilt.identity)}) if run.info.status == FINISHED]
    if not runs:
        return "only bits differ, and no run with this run hash was logged to its end"
    environments = {run.info.run_id: read_logged_environments(store, run.info.run_id)[0] for run in runs}
    differences = {key: tree_differences(value, rebuilt.environment) for key, value in environments.items()}
    unequal = {run.info.run_id: run.data.tags[tag.WEIGHTS] != rebuilt.hashes["train.weights"] for run in runs}
    nearest = min(environments, key=lambda run_id: (len(differences[run_id]), unequal[run_id]))
    equal = "different from" if unequal[nearest] else "equal to"
    changed = [line.partition(":")[0] for line in differences[nearest]]
    keys = ", ".join(changed[:MAX_KEYS]) + (f" and {len(changed) - MAX_KEYS} more" if len(changed) > MAX_KEYS else "")
    return (
        f"only bits differ; of {len(runs)} runs with this run hash, {nearest} was trained in the "
        f"environment nearest to this one ({f'differs in {keys}' if changed else 'the same'}): its weights are {equal} "
        "the rebuilt ones"
    )


def compare_records(recorded: Record, rebuilt: Record) -> bool:
    """Print a table of all hashes and possible causes of differences, and return whether all hashes are equal."""
    pairs = {"run hash": (hash_identity(recorded.identity), hash_identity(rebuilt.identity))}
    for name in sorted(recorded.hashes | rebuilt.hashes, key=lambda name: (STAGES.index(name.partition(".")[0]), name)):
        pairs[name] = recorded.hashes.get(name, "none"), rebuilt.hashes.get(name, "none")
    table = Table("output", "recorded", "rebuilt", "")
    for name, (old, new) in pairs.items():
        table.add_row(name, old[:12], new[:12], "equal" if old == new else "[red]DIFFERS[/red]")
    print_table(table, TABLE_WIDTH)
    unequal = [name for name, (old, new) in pairs.items() if old != new]
    if not unequal:
        print(f"all {len(pairs)} hashes are equal")
        return True
    print(f"{len(unequal)} of {len(pairs)} hashes differ, first: {unequal[0]}")
    for line in tree_differences(recorded.identity, rebuilt.identity):
        print(f"  inputs: {line}")
    for line in tree_differences(recorded.environment, rebuilt.environment) or ["none"]:
        print(f"  environments: {line}")
    for earlier in recorded.earlier_environments:
        for line in tree_differences(earlier, recorded.environment):
            print(f"  resumed in another environment, so the bits of the training may not repeat: {line}")
    return False


def _recorded_run_hash(tags: dict[str, str]) -> str:
    return tags.get(tag.RUN_HASH, tags.get(tag.PARENT_HASH, ""))


def check_consistency(source: Source, identity: dict[str, Any], tags: dict[str, str], logged: dict[str, str]) -> None:
    """Check that no part of a record was changed after it was written.

    Raises:
        UserError: the parts contradict each other.
    """
    params = check_params(yaml.safe_load(source.params))
    problems = tree_differences({"params": identity["params"]}, {"params": deciding_params(params)})
    mlflow_params = "MLflow's parameters"
    problems += tree_differences({mlflow_params: logged}, {mlflow_params: _known_params(params, logged)})
    if hash_identity(identity) != _recorded_run_hash(tags):
        problems.append("identity.json does not give the run hash")
    if source.code.patch_hash != tags.get(tag.PATCH, ""):
        problems.append("patch.diff is not the one that was recorded")
    if problems:
        raise UserError("the record contradicts itself: " + "; ".join(problems))


def _known_params(params: Params, logged: dict[str, str]) -> dict[str, str]:
    """Return the parameters as MLflow logs them, without those that had no key yet when the run was recorded."""
    written = dict(flatten(params.model_dump(exclude_unset=True)))
    return {key: str(value) for key, value in flatten(params.model_dump()) if key in written or key in logged}


def _rebuild(source: Source, identity: dict[str, Any]) -> Record:
    """Run the pipeline in a clean copy of the repository.

    Its DVC cache is empty: with the user's, DVC would not train but restore the model.
    """
    root = repository_root()
    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)  # DVC makes it in its first run
    with TemporaryDirectory(prefix="rebuild-", dir=temporary) as folder:
        copy = Workspace(Path(folder) / "copy")
        clone_workspace(root, source.code, copy.root, cache=copy.root / ".dvc" / "cache")
        copy.params.unlink(missing_ok=True)  # a patch could have made it a link to another file
        copy.params.write_text(source.params, encoding="utf-8")
        changes = tree_differences({"code": identity["code"]}, {"code": code_hashes(copy)})
        if changes:
            raise UserError("the code is not that of the run: " + "; ".join(changes))
        copy.dvc_lock.unlink(missing_ok=True)
        if source.lock:
            _pull_data(copy, source.lock)
        if status := _run_in_copy(copy, "dvc", "repro"):
            raise UserError(f"`dvc repro` failed in the copy (status {status}): see its output")
        store = MlflowStore(_store_address(copy))
        (run,) = store.search({tag.RUN_HASH: "%"}, like=True)
        rebuilt = store.read_json(run.info.run_id, IDENTITY_FILE)
        return Record(rebuilt, output_hashes(copy), *read_logged_environments(store, run.info.run_id))


def _pull_data(copy: Workspace, lock: dict[str, Any]) -> None:
    """Pull the outputs of the stages before training if DVC has a default remote; others can be the user's folders."""
    from dvc.config import Config

    config = Config(str(repository_root() / ".dvc"))
    with Config(str(copy.root / ".dvc")).edit("local") as local:
        for name, remote in config["remote"].items():
            local["remote"].setdefault(name, {})["url"] = remote["url"]  # a relative one starts at the repository
    if default := config["core"].get("remote"):
        stages = {name: stage for name, stage in lock["stages"].items() if name in DATA_STAGES}
        copy.dvc_lock.write_text(yaml.safe_dump({"schema": lock["schema"], "stages": stages}), encoding="utf-8")
        _run_in_copy(copy, "dvc", "pull", "--remote", default, "--allow-missing", *DATA_STAGES)


def _store_address(copy: Workspace) -> str:
    return f"sqlite:///{copy.root / 'mlflow.db'}"


def _run_in_copy(copy: Workspace, *command: str) -> int:
    """Run a program that logs to the copy's own store, show its output, and return its exit status."""
    variables = workspace_environment(repository_root()) | {"MLFLOW_TRACKING_URI": _store_address(copy)}
    return subprocess.run(command, cwd=copy.root, env=variables, check=False).returncode
