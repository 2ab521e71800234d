"""Stages that are killed with SIGKILL at any moment and started again: the outputs are those of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import SMALL, changed, compose, environment, make_repo, read_outs_in_lock, run
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

# A program that runs a stage as DVC does, and kills its own process at the n-th time that it reaches a moment.
KILLER = """
import io, os, signal, sys
from pathlib import Path
import numpy as np

stage, moment, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:]

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def replace_nth_call(owner, name, action=lambda original, *a, **k: kill()):
    original, calls = getattr(owner, name), []
    def wrapper(*a, **k):
        calls.append(1)
        return action(original, *a, **k) if len(calls) == number else original(*a, **k)
    setattr(owner, name, wrapper)

def write_half_and_kill(original, file, **arrays):
    buffer = io.BytesIO()
    original(buffer, **arrays)
    file.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    file.flush()
    kill()

def call_and_kill(original, *a, **k):
    original(*a, **k)
    kill()

if stage == "train":
    from captioner.common.backend import use_backend
    use_backend("tensorflow")
    from captioner.tracking.run_logging import TrainingLogger
    from captioner.train import checkpoint, trainer
    moments = {
        "before saving": lambda: replace_nth_call(checkpoint.CheckpointManager, "save"),
        "half saved": lambda: replace_nth_call(np, "savez", write_half_and_kill),
        "before syncing": lambda: replace_nth_call(os, "fsync"),
        "after saving": lambda: replace_nth_call(checkpoint.CheckpointManager, "save", call_and_kill),
        "after logging": lambda: replace_nth_call(TrainingLogger, "on_epoch_end", call_and_kill),
        "after the model": lambda: replace_nth_call(trainer, "save_model", call_and_kill),
        "before the end": lambda: replace_nth_call(trainer, "mark_finished"),
        "after the end": lambda: replace_nth_call(trainer, "mark_finished", call_and_kill),
    }
    moments[moment]()
    checkpoint.CheckpointManager.is_due = lambda self: True
    from captioner.stages.train import main
elif stage == "prepare":
    from captioner.common.backend import use_backend
    use_backend("tensorflow")
    from captioner.data import features, preparation
    moments = {
        "before a batch": lambda: replace_nth_call(features.FeaturesWriter, "append"),
        "before flushing": lambda: replace_nth_call(np.memmap, "flush"),
        "before counting rows": lambda: replace_nth_call(Path, "replace"),
        "after captions": lambda: replace_nth_call(preparation, "write_captions_table", call_and_kill),
    }
    moments[moment]()
    features.FLUSH_TIME_SHARE = 1e9
    from captioner.stages.prepare import main
else:
    from importlib import import_module
    main = import_module("captioner.stages." + stage.replace("-", "_")).main
    root, opened = os.path.realpath("."), []

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.path.relpath(os.path.realpath(arguments[0]), root)
            if path.split(os.sep)[0] in ("data", "models", "reports", "mlruns"):
                opened.append(path)
                if len(opened) == number:
                    kill()

    sys.addaudithook(hook)
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository in which the pipeline has run undisturbed; prepare takes six batches per split."""
    folder = make_repo(tmp_path_factory.mktemp("survival"))
    random = ("model.dropout=0.2", "train.word_dropout=0.2", "data.extractor.batch_size=8")
    compose(folder, *SMALL, *random, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro")
    (folder / "killer.py").write_text(KILLER)
    return folder


def kill(repo: Path, stage: str, moment: str, number: int) -> None:
    process = subprocess.run(
        [sys.executable, "killer.py", stage, moment, str(number)], cwd=repo, check=False, capture_output=True,
        env=environment() | {"PYTHONPATH": "src"},
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


# Two epochs of three steps. The killer saves a checkpoint after each step and each epoch.
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        *[("before saving", 1), ("before saving", 5), ("half saved", 1), ("half saved", 3)],
        *[("before syncing", 2), ("before syncing", 8), ("after saving", 4), ("after logging", 1)],
        *[("after the model", 1), ("before the end", 1), ("after the end", 1)],
    ],
)
def test_killed_train_resumes_to_the_same_outputs(trained: Path, moment: str, number: int) -> None:
    expected = read_outs_in_lock(trained)
    kill(trained, "train", moment, number)
    printed = run(trained, "dvc", "repro", "-f", "-s", "train")
    trained_all = moment in {"after the model", "before the end", "after the end"}
    from_start = (moment, number) in {("before saving", 1), ("half saved", 1)}
    assert ("the model is written again" in printed) == trained_all
    assert ("resuming at epoch" in printed) == (not trained_all and not from_start)
    assert read_outs_in_lock(trained) == expected


def test_killed_between_the_end_of_train_and_dvcs_commit_trains_no_step_again(trained: Path) -> None:
    expected = read_outs_in_lock(trained)
    with changed(trained / "dvc.yaml", "captioner.stages.train\n", "captioner.stages.train && kill -9 $PPID\n"):
        first = run(trained, "dvc", "repro", "-f", "-s", "train", status=-signal.SIGKILL)
    assert "epoch   2" in first
    (finished,) = (trained / "data/checkpoints").glob("*/finished")
    assert finished.stat().st_mtime_ns > (trained / "dvc.lock").stat().st_mtime_ns, "DVC has committed the outs"
    second = run(trained, "dvc", "repro", "-f", "-s", "train")
    assert "the model is written again" in second
    assert "epoch   " not in second
    assert read_outs_in_lock(trained) == expected
    # DVC has committed the outs now, so the next stage removes the checkpoint, and a forced training is a real one.
    run(trained, "dvc", "repro", "-f", "-s", "sample")
    assert not finished.parent.exists()
    assert "epoch   2" in run(trained, "dvc", "repro", "-f", "-s", "train")


# 48 images in batches of 8, in each of three splits.
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        *[("before a batch", 1), ("before a batch", 5), ("before flushing", 9), ("before counting rows", 10)],
        ("after captions", 2),
    ],
)
def test_killed_prepare_resumes_to_the_same_outputs(trained: Path, moment: str, number: int) -> None:
    expected = read_outs_in_lock(trained)
    kill(trained, "prepare", moment, number)
    printed = run(trained, "dvc", "repro", "-f", "-s", "prepare")
    assert ("resuming at image" in printed) == ((moment, number) != ("before a batch", 1))
    assert read_outs_in_lock(trained) == expected


def test_prepare_killed_before_dvc_commits_is_not_computed_again(trained: Path) -> None:
    """DVC deletes the outs that it has not committed. Committed work is removed when a later stage starts."""
    expected = read_outs_in_lock(trained)
    run(trained, "dvc", "repro", "-f", "-s", "tokenize-adapt")
    assert not list((trained / "data/checkpoints").glob("prepare-*")), "work from before the last commit"
    run(trained, "python", "-m", "captioner.stages.prepare", PYTHONPATH="src")
    printed = run(trained, "dvc", "repro", "-f", "-s", "prepare")
    for split in ("train", "val", "test"):
        assert f"{split}: resuming at image 48 of 48" in printed
    assert read_outs_in_lock(trained) == expected
    assert list((trained / "data/checkpoints").glob("prepare-*/finished"))
    run(trained, "dvc", "repro", "-f", "-s", "tokenize-adapt")
    assert not list((trained / "data/checkpoints").glob("prepare-*"))


# These stages start from scratch. They are killed when they open their n-th file for writing.
@pytest.mark.parametrize(
    ("stage", "number"),
    [
        *[("tokenize-adapt", 1), ("tokenize-adapt", 3), ("tokenize-adapt", 6)],
        *[("sample", 1), ("sample", 2), ("evaluate", 1), ("evaluate", 4), ("evaluate", 8), ("evaluate", 12)],
    ],
)
def test_other_killed_stages_run_again_to_the_same_outputs(trained: Path, stage: str, number: int) -> None:
    expected = read_outs_in_lock(trained)
    kill(trained, stage, "open", number)
    run(trained, "dvc", "repro", "-f", "-s", stage)
    assert read_outs_in_lock(trained) == expected


def signal_training(repo: Path, prefix: str, number: signal.Signals) -> str:
    """Signal `dvc repro train` and all its processes when a line starts with ``prefix``; return what they printed."""
    process = subprocess.Popen(
        ["dvc", "repro", "-f", "-s", "train"], cwd=repo, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(prefix):
            break
    os.killpg(process.pid, number)
    printed += process.stdout.read()
    process.wait()
    return printed


def test_dvc_repro_killed_with_all_its_processes_resumes(trained: Path) -> None:
    expected = read_outs_in_lock(trained)
    signal_training(trained, "run ", signal.SIGKILL)
    run(trained, "dvc", "repro", "-f", "-s", "train")
    assert read_outs_in_lock(trained) == expected


def test_training_resumes_after_each_sigterm_of_a_scheduler(trained: Path) -> None:
    with changed(trained / "params.yaml", "epochs: 2", "epochs: 100000"):
        first = signal_training(trained, "epoch   1", signal.SIGTERM)
        second = signal_training(trained, "epoch ", signal.SIGTERM)
        third = signal_training(trained, "resuming at epoch", signal.SIGKILL)
    for printed in (first, second):
        assert printed.endswith("interrupted\n")
        assert "Traceback" not in printed
    last_epoch_of_first = len([line for line in first.splitlines() if line.startswith("epoch ")])
    assert f"resuming at epoch {last_epoch_of_first + 1}" in second
    assert "resuming at epoch" in third
    (row,) = MlflowClient(f"sqlite:///{trained}/mlflow.db").search_runs(["1"], "params.`train.epochs` = '100000'")
    assert row.info.status == "RUNNING", "the three processes share one run, and the last was killed"
