"""``captioner verify`` and ``captioner reproduce``: a run is rebuilt from its record, whatever the workspace holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.repository import SMALL, changed, commit, compose, make_repo, run
from mlflow import MlflowClient
from mlflow.entities import Run

pytestmark = pytest.mark.slow

UNCOMMITTED_FUNCTION = '''

def factor() -> float:
    """Uncommitted, as is the module that it imports."""
    from captioner.model.added import HALF

    return HALF
'''


def runs_by_units(repo: Path) -> dict[str, Run]:
    """Return all runs by their ``model.units``, which differ here."""
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("captioner").experiment_id])
    return {mlflow_run.data.params["model.units"]: mlflow_run for mlflow_run in runs}


@pytest.fixture(scope="module")
def changed_repo(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository with four runs, started in four ways, whose code and parameters were changed afterwards."""
    repo = make_repo(tmp_path_factory.mktemp("changed"))
    network = repo / "src/captioner/model/network.py"
    run(repo, "git", "checkout", "-qb", "other-code")
    network.write_text(network.read_text() + "\n")
    commit(repo, "one byte more")
    run(repo, "git", "checkout", "-q", "-")
    small = [*SMALL, "train.epochs=1", f"data.data_dir={datasets}"]
    compose(repo, *small)
    run(repo, "dvc", "repro")
    commit(repo, "a committed run")
    overrides = [word for override in small for word in ("-S", override)]
    run(repo, "dvc", "exp", "run", "--temp", *overrides, "-S", "model.units=20")
    run(repo, "dvc", "exp", "run", "--queue", *overrides, "-S", "model.units=24")
    run(repo, "dvc", "exp", "run", "--run-all")
    compose(repo, *small, "model.units=28")
    network.write_text(network.read_text().replace("axis=1)", "axis=1) * 0.5 + factor()", 1) + UNCOMMITTED_FUNCTION)
    (repo / "src/captioner/model/added.py").write_text("HALF = 0.5\n")
    run(repo, "dvc", "repro")
    run(repo, "git", "checkout", "-q", ".")
    run(repo, "git", "clean", "-qfd", "src")
    network.write_text("raise SystemExit('the workspace has changed')\n")
    (repo / "params.yaml").write_text("nothing: left\n")
    commit(repo, "something else")
    return repo


@pytest.mark.parametrize("units", ["32", "20", "24", "28"], ids=["committed", "temp", "queued", "uncommitted"])
def test_run_is_rebuilt_from_its_record(changed_repo: Path, units: str) -> None:
    recorded = runs_by_units(changed_repo)[units]
    run_hash = recorded.data.tags["captioner.run_hash"]
    assert recorded.data.tags["captioner.reproduce"] == f"captioner reproduce {recorded.info.run_id}"
    name = recorded.info.run_id if units == "20" else run_hash[:9]
    status = run(changed_repo, "git", "status", "--short")
    printed = run(changed_repo, "captioner", "reproduce", name)
    assert "hashes are equal" in printed
    assert "train.weights" in printed
    assert "DIFFERS" not in printed
    assert run(changed_repo, "git", "status", "--short") == status
    assert set(runs_by_units(changed_repo)) == {"32", "20", "24", "28"}


@pytest.fixture(scope="module")
def fresh_clone(changed_repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone in which DVC has never run."""
    clone = tmp_path_factory.mktemp("fresh") / "clone"
    run(changed_repo, "git", "clone", "-q", str(changed_repo), str(clone))
    assert not (clone / ".dvc/tmp").exists()
    return clone


def test_reproduce_works_in_a_fresh_clone(changed_repo: Path, fresh_clone: Path) -> None:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{changed_repo / 'mlflow.db'}"}
    run_id = runs_by_units(changed_repo)["32"].info.run_id
    assert "all 12 hashes are equal" in run(fresh_clone, "captioner", "reproduce", run_id, **store)


def test_patch_of_another_repository_runs_only_with_trust(changed_repo: Path, fresh_clone: Path) -> None:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{changed_repo / 'mlflow.db'}"}
    run_id = runs_by_units(changed_repo)["28"].info.run_id
    printed = run(fresh_clone, "captioner", "reproduce", run_id, status=1, **store)
    assert "uncommitted changes that this repository did not record" in printed
    assert "then add --trust" in printed
    assert "Running stage" not in printed
    printed = run(fresh_clone, "captioner", "reproduce", run_id, "--trust", **store)
    assert "all 12 hashes are equal" in printed


@contextmanager
def changed_artifact(repo: Path, units: str, name: str, old: str, new: str) -> Iterator[str]:
    """Change an artifact of a run, and return the run's id."""
    info = runs_by_units(repo)[units].info
    with changed(Path(info.artifact_uri.removeprefix("file://")) / name, old, new):
        yield info.run_id


@pytest.mark.parametrize(
    ("units", "name", "old", "new", "message"),
    [
        ("20", "params.yaml", "seed: 1", "seed: 2", "params data.seed: recorded 1, rebuilt 2"),
        ("20", "params.yaml", "beam_size: 2", "beam_size: 3", "decode.beam_size: recorded 2, rebuilt 3"),
        ("28", "patch.diff", "* 0.5", "* 0.6", "patch.diff is not the one that was recorded"),
        ("20", "identity.json", '"train.epochs": 1', '"train.epochs": 2', "identity.json does not give the run hash"),
    ],
)
def test_changed_byte_in_the_record_is_named(
    changed_repo: Path, units: str, name: str, old: str, new: str, message: str
) -> None:
    with changed_artifact(changed_repo, units, name, old, new) as run_id:
        printed = run(changed_repo, "captioner", "reproduce", run_id, status=1)
    assert message in printed
    assert "Traceback" not in printed


def test_changed_code_is_named(changed_repo: Path) -> None:
    """The tag is changed to another commit than that of the run."""
    recorded = runs_by_units(changed_repo)["32"]
    other = run(changed_repo, "git", "rev-parse", "other-code").strip()
    with sqlite3.connect(changed_repo / "mlflow.db") as database:
        where = "where run_uuid = ? and key = 'mlflow.source.git.commit'"
        (before,) = database.execute(f"select value from tags {where}", (recorded.info.run_id,)).fetchone()  # noqa: S608
        database.execute(f"update tags set value = ? {where}", (other, recorded.info.run_id))  # noqa: S608
    printed = run(changed_repo, "captioner", "reproduce", recorded.info.run_id, status=1)
    with sqlite3.connect(changed_repo / "mlflow.db") as database:
        database.execute(f"update tags set value = ? {where}", (before, recorded.info.run_id))  # noqa: S608
    assert "code src/captioner/model/network.py: recorded" in printed


def test_first_different_output_is_named(changed_repo: Path) -> None:
    recorded = runs_by_units(changed_repo)["32"]
    client = MlflowClient(f"sqlite:///{changed_repo / 'mlflow.db'}")
    before = recorded.data.tags["hash.train.weights"]
    client.set_tag(recorded.info.run_id, "hash.train.weights", "0" * 64)
    printed = run(changed_repo, "captioner", "reproduce", recorded.info.run_id, status=1)
    client.set_tag(recorded.info.run_id, "hash.train.weights", before)
    assert "1 of 12 hashes differ, first: train.weights" in printed
    assert "environments: none" in printed


@pytest.mark.parametrize(("name", "message"), [("0000000", "not a run"), ("not-a-run", "neither"), ("", "neither")])
def test_unknown_run_is_one_line(changed_repo: Path, name: str, message: str) -> None:
    printed = run(changed_repo, "captioner", "reproduce", name, status=1)
    assert message in printed
    assert printed.count("\n") == 1


def test_verify_compares_all_hashes_and_refuses_changed_outputs(repo: Path) -> None:
    assert "all 12 hashes are equal" in run(repo, "captioner", "verify")
    metrics = repo / "reports/metrics.json"
    before = metrics.read_text()
    metrics.write_text(json.dumps(json.loads(before) | {"bleu_4": 1.0}))
    assert "evaluate" in run(repo, "captioner", "verify", status=1)
    metrics.write_text(before)
