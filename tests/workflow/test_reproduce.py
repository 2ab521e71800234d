"""`captioner verify` and `captioner reproduce`: rebuilt from the record alone, whatever the workspace is now."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from repository import SMALL, changed, compose, make_repo, run

pytestmark = pytest.mark.slow


def commit(repo: Path, message: str) -> None:
    run(repo, "git", "add", "-A")
    run(repo, "git", "-c", "user.name=t", "-c", "user.email=t@t.t", "commit", "-qm", message)


def rows(repo: Path) -> dict[str, Run]:
    """All rows by their units, which tell them apart here."""
    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("captioner").experiment_id])
    return {row.data.params["model.units"]: row for row in found}


@pytest.fixture(scope="module")
def moved_on(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """A repository with four runs, made in four ways, which has moved on since."""
    repo = make_repo(tmp_path_factory.mktemp("moved"))
    network = repo / "src/captioner/model/network.py"
    run(repo, "git", "checkout", "-qb", "planted")
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
    network.write_text(network.read_text().replace("axis=1)", "axis=1) * 0.5 + factor()", 1) + NEW_CODE)
    (repo / "src/captioner/model/added.py").write_text("HALF = 0.5\n")
    run(repo, "dvc", "repro")
    run(repo, "git", "checkout", "-q", ".")
    run(repo, "git", "clean", "-qfd", "src")
    network.write_text("raise SystemExit('the workspace has moved on')\n")
    (repo / "params.yaml").write_text("nothing: left\n")
    commit(repo, "something else")
    return repo


NEW_CODE = '''

def factor() -> float:
    """Uncommitted, and so is what it imports."""
    from captioner.model.added import HALF

    return HALF
'''


@pytest.mark.parametrize("units", ["32", "20", "24", "28"], ids=["committed", "temp", "queued", "uncommitted"])
def test_a_run_is_rebuilt_from_its_record(moved_on: Path, units: str) -> None:
    row = rows(moved_on)[units]
    run_hash = row.data.tags["captioner.run_hash"]
    assert row.data.tags["captioner.reproduce"] == f"captioner reproduce {run_hash[:12]}"
    name = row.info.run_id if units == "20" else run_hash[:9]
    status = run(moved_on, "git", "status", "--short")
    printed = run(moved_on, "captioner", "reproduce", name)
    assert "hashes are equal" in printed
    assert "train.weights" in printed
    assert "DIFFERS" not in printed
    assert run(moved_on, "git", "status", "--short") == status
    assert set(rows(moved_on)) == {"32", "20", "24", "28"}


@contextmanager
def tampered(repo: Path, units: str, name: str, old: str, new: str) -> Iterator[str]:
    row = rows(repo)[units]
    with changed(Path(row.info.artifact_uri.removeprefix("file://")) / name, old, new):
        yield row.info.run_id


@pytest.mark.parametrize(
    ("units", "name", "old", "new", "told"),
    [
        ("20", "params.yaml", "seed: 1", "seed: 2", "params data.seed: recorded 1, rebuilt 2"),
        ("20", "params.yaml", "beam_size: 2", "beam_size: 3", "decode.beam_size: recorded 2, rebuilt 3"),
        ("28", "patch.diff", "* 0.5", "* 0.6", "patch.diff is not the one that was recorded"),
        ("20", "identity.json", '"train.epochs": 1', '"train.epochs": 2', "identity.json does not give the run hash"),
    ],
)
def test_a_changed_byte_in_the_record_is_named(
    moved_on: Path, units: str, name: str, old: str, new: str, told: str
) -> None:
    with tampered(moved_on, units, name, old, new) as run_id:
        printed = run(moved_on, "captioner", "reproduce", run_id, status=1)
    assert told in printed
    assert "Traceback" not in printed


def test_other_code_is_named(moved_on: Path) -> None:
    """The tag names another commit than the one that the run was made from."""
    row = rows(moved_on)["32"]
    other = run(moved_on, "git", "rev-parse", "planted").strip()
    with sqlite3.connect(moved_on / "mlflow.db") as database:
        where = "where run_uuid = ? and key = 'mlflow.source.git.commit'"
        (before,) = database.execute(f"select value from tags {where}", (row.info.run_id,)).fetchone()  # noqa: S608
        database.execute(f"update tags set value = ? {where}", (other, row.info.run_id))  # noqa: S608
    printed = run(moved_on, "captioner", "reproduce", row.info.run_id, status=1)
    with sqlite3.connect(moved_on / "mlflow.db") as database:
        database.execute(f"update tags set value = ? {where}", (before, row.info.run_id))  # noqa: S608
    assert "code src/captioner/model/network.py: recorded" in printed


def test_another_result_is_named(moved_on: Path) -> None:
    """What was recorded is not what the record gives: the first stage that differs is named, and the status tells."""
    row = rows(moved_on)["32"]
    client = MlflowClient(f"sqlite:///{moved_on / 'mlflow.db'}")
    before = row.data.tags["hash.train.weights"]
    client.set_tag(row.info.run_id, "hash.train.weights", "0" * 64)
    printed = run(moved_on, "captioner", "reproduce", row.info.run_id, status=1)
    client.set_tag(row.info.run_id, "hash.train.weights", before)
    assert "1 of 12 hashes differ, first: train.weights" in printed
    assert "environments: none" in printed


@pytest.mark.parametrize(("name", "told"), [("0000000", "no run"), ("not-a-run", "neither"), ("", "neither")])
def test_what_is_no_run_is_one_line(moved_on: Path, name: str, told: str) -> None:
    printed = run(moved_on, "captioner", "reproduce", name, status=1)
    assert told in printed
    assert printed.count("\n") == 1


def test_verify(repo: Path) -> None:
    assert "all 12 hashes are equal" in run(repo, "captioner", "verify")
    metrics = repo / "reports/metrics.json"
    before = metrics.read_text()
    metrics.write_text(json.dumps(json.loads(before) | {"bleu_4": 1.0}))
    assert "evaluate" in run(repo, "captioner", "verify", status=1)
    metrics.write_text(before)
