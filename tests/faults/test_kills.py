"""Stages that are killed with SIGKILL at any moment and started again: as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from repository import SMALL, changed, compose, environment, make_repo, run

pytestmark = pytest.mark.slow

# Runs a stage as DVC does, and ends the process with SIGKILL at the n-th time that it comes to a place.
KILLER = """
import io, os, signal, sys
from pathlib import Path
import numpy as np

stage, place, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at(owner, name, action=lambda original, *a, **k: die()):
    original, calls = getattr(owner, name), []
    def wrapper(*a, **k):
        calls.append(1)
        return action(original, *a, **k) if len(calls) == number else original(*a, **k)
    setattr(owner, name, wrapper)

def half(original, file, **arrays):
    whole = io.BytesIO()
    original(whole, **arrays)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
    file.flush()
    die()

def after(original, *a, **k):
    original(*a, **k)
    die()

if stage == "train":
    from captioner.backend import use_backend
    use_backend("tensorflow")
    from captioner.model import checkpoints, fit
    from captioner.track.runs import Training
    places = {
        "step": lambda: at(checkpoints.Checkpoints, "write"),
        "half": lambda: at(np, "savez", half),
        "sync": lambda: at(os, "fsync"),
        "kept": lambda: at(checkpoints.Checkpoints, "write", after),
        "logged": lambda: at(Training, "watch", after),
        "model": lambda: at(fit, "write_model", after),
        "end": lambda: at(checkpoints.Checkpoints, "remove"),
    }
    places[place]()
    checkpoints.Checkpoints.due = lambda self: True
    from captioner.stages.train import main
elif stage == "prepare":
    from captioner.backend import use_backend
    use_backend("tensorflow")
    from captioner.data import features, prepare
    places = {
        "batch": lambda: at(features.FeaturesFile, "append"),
        "sync": lambda: at(np.memmap, "flush"),
        "note": lambda: at(Path, "replace"),
        "captions": lambda: at(prepare, "write_captions", after),
    }
    places[place]()
    features.SHARE = 1e9
    from captioner.stages.prepare import main
else:
    from importlib import import_module
    main = import_module("captioner.stages." + stage.replace("-", "_")).main
    here, opened = os.path.realpath("."), []

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.path.relpath(os.path.realpath(arguments[0]), here)
            if path.split(os.sep)[0] in ("data", "models", "reports", "mlruns"):
                opened.append(path)
                if len(opened) == number:
                    die()

    sys.addaudithook(hook)
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """A repository in which prepare works in six batches, and train has run undisturbed."""
    folder = make_repo(tmp_path_factory.mktemp("survival"))
    random = ("model.dropout=0.2", "train.word_dropout=0.2", "data.extractor.batch_size=8")
    compose(folder, *SMALL, *random, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro")
    (folder / "killer.py").write_text(KILLER)
    return folder


def outs(repo: Path) -> dict[str, list[dict[str, str]]]:
    return {name: stage["outs"] for name, stage in yaml.safe_load((repo / "dvc.lock").read_text())["stages"].items()}


def kill(repo: Path, stage: str, place: str, number: int) -> None:
    command = [sys.executable, "killer.py", stage, place, str(number)]
    done = subprocess.run(
        command, cwd=repo, env=environment() | {"PYTHONPATH": "src"}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


# Two epochs of three steps; a checkpoint after each step and each epoch.
@pytest.mark.parametrize(
    ("place", "number"),
    [
        *[("step", 1), ("step", 5), ("half", 1), ("half", 3), ("sync", 2), ("sync", 8)],
        *[("kept", 4), ("logged", 1), ("model", 1), ("end", 1)],
    ],
)
def test_train_ends_as_if_it_had_not_been_killed(trained: Path, place: str, number: int) -> None:
    before = outs(trained)
    kill(trained, "train", place, number)
    printed = run(trained, "dvc", "repro", "-f", "-s", "train")
    assert ("going on from epoch" in printed) == ((place, number) not in {("step", 1), ("half", 1)})
    assert outs(trained) == before
    assert not list((trained / "data/checkpoints").iterdir())


# 48 pictures in batches of 8, in each of three splits.
@pytest.mark.parametrize(("place", "number"), [("batch", 1), ("batch", 5), ("sync", 9), ("note", 10), ("captions", 2)])
def test_prepare_ends_as_if_it_had_not_been_killed(trained: Path, place: str, number: int) -> None:
    before = outs(trained)
    kill(trained, "prepare", place, number)
    printed = run(trained, "dvc", "repro", "-f", "-s", "prepare")
    assert ("going on from picture" in printed) == ((place, number) != ("batch", 1))
    assert outs(trained) == before
    assert not list((trained / "data/checkpoints").iterdir())


# When they open their n-th file to write: the stages that begin anew.
@pytest.mark.parametrize(
    ("stage", "number"),
    [
        *[("tokenize-adapt", 1), ("tokenize-adapt", 3), ("tokenize-adapt", 6)],
        *[("sample", 1), ("sample", 2), ("evaluate", 1), ("evaluate", 4), ("evaluate", 8), ("evaluate", 12)],
    ],
)
def test_the_others_end_as_if_they_had_not_been_killed(trained: Path, stage: str, number: int) -> None:
    before = outs(trained)
    kill(trained, stage, "open", number)
    run(trained, "dvc", "repro", "-f", "-s", stage)
    assert outs(trained) == before


def end_at(repo: Path, sign: str, number: signal.Signals) -> str:
    """Sends a signal to `dvc repro train` and all its processes when a line begins with ``sign``; what it printed."""
    process = subprocess.Popen(
        ["dvc", "repro", "-f", "-s", "train"], cwd=repo, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(sign):
            break
    os.killpg(process.pid, number)
    printed += process.stdout.read()
    process.wait()
    return printed


def test_dvc_repro_killed_as_a_whole_goes_on(trained: Path) -> None:
    """The way it happens to people: everything is gone at once, DVC too."""
    before = outs(trained)
    end_at(trained, "run ", signal.SIGKILL)
    run(trained, "dvc", "repro", "-f", "-s", "train")
    assert outs(trained) == before


def test_sigterm_as_schedulers_send_it(trained: Path) -> None:
    """Once before the time is over, and once more: each job goes on from the checkpoint of the one before."""
    with changed(trained / "params.yaml", "epochs: 2", "epochs: 100000"):
        first = end_at(trained, "epoch   1", signal.SIGTERM)
        second = end_at(trained, "epoch ", signal.SIGTERM)
        third = end_at(trained, "going on from epoch", signal.SIGKILL)
    for printed in (first, second):
        assert printed.endswith("interrupted\n")
        assert "Traceback" not in printed
    last_of_first = len([line for line in first.splitlines() if line.startswith("epoch ")])
    assert f"going on from epoch {last_of_first + 1}" in second
    assert "going on from epoch" in third
    (row,) = MlflowClient(f"sqlite:///{trained}/mlflow.db").search_runs(["1"], "params.`train.epochs` = '100000'")
    assert row.info.status == "RUNNING", "one row for the three, and the last was killed"
