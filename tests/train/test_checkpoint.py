"""An interrupted training resumes from its checkpoint, and gives the same weights and the same history."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from test_trainer import make_params, train, train_in, write_data

from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.model.network import Captioner
from captioner.train.checkpoint import CheckpointManager

FILES = ("captioner.weights.h5", "config.json", "history.json", "summary.txt")


class SimulatedKill(BaseException):
    """The end of the process: no code catches it."""


@pytest.fixture(scope="module")
def params() -> Params:
    """Parameters with every source of randomness switched on."""
    return make_params(model__dropout=0.3, train__word_dropout=0.3, train__epochs=3, train__weight_decay=0.1)


@pytest.fixture(scope="module")
def expected_files(params: Params, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The files of an uninterrupted training."""
    workspace = write_data(tmp_path_factory.mktemp("uninterrupted"))
    train(params, workspace)
    return read_files(workspace)


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointManager, "is_due", lambda self: True)


def read_files(workspace: Workspace) -> list[bytes]:
    return [(workspace.model / name).read_bytes() for name in FILES]


# An epoch has three steps. A checkpoint follows each step and each epoch: 12 in all.
@pytest.mark.parametrize("number", [1, 4, 6, 12])
@pytest.mark.usefixtures("always_due")
def test_resuming_after_a_kill_gives_the_same_files(
    tmp_path: Path, params: Params, expected_files: list[bytes], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    workspace = write_data(tmp_path)
    save, saved = CheckpointManager.save, []

    def save_and_die(self: CheckpointManager, *checkpoint: object) -> None:
        save(self, *checkpoint)
        saved.append(checkpoint)
        if len(saved) == number:
            raise SimulatedKill

    with monkeypatch.context() as patch, pytest.raises(SimulatedKill):
        patch.setattr(CheckpointManager, "save", save_and_die)
        train(params, workspace)
    epochs = []
    train(params, workspace, lambda *epoch: epochs.append(epoch))
    assert read_files(workspace) == expected_files
    # The callback receives every epoch and every step once.
    assert [row["epoch"] for _, row, _ in epochs] == [1, 2, 3]
    assert [step["step"] for steps, _, _ in epochs for step in steps] == list(range(1, 10))


def test_a_finished_training_whose_model_is_lost_is_written_again_without_a_step(
    tmp_path: Path,
    params: Params,
    expected_files: list[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = write_data(tmp_path)
    first = train_in({"cpu": "A"}, params, workspace)
    shutil.rmtree(workspace.model)
    steps, epochs = [], []
    monkeypatch.setattr(Captioner, "train_on_batch", lambda *_, **__: steps.append(1))
    capsys.readouterr()
    second = train_in({"cpu": "B"}, params, workspace, lambda *epoch: epochs.append(epoch))
    assert steps == []
    assert [(row["epoch"], speed) for _, row, speed in epochs] == [(1, None), (2, None), (3, None)]
    assert read_files(workspace) == expected_files
    assert (second.history, second.environments) == (first.history, first.environments), "it trained no step"
    assert (first.resumed, second.resumed) == (False, True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("3 finished epochs are in")


def test_a_training_that_stopped_early_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = make_params(train__epochs=30, train__learning_rate=0.5, train__patience=2, train__warmup_epochs=0.0)
    workspace = write_data(tmp_path)
    history = train(params, workspace)
    assert len(history["epochs"]) < 30
    monkeypatch.setattr(Captioner, "train_on_batch", lambda *_, **__: pytest.fail("a step was trained"))
    assert train(params, workspace) == history


@pytest.mark.parametrize("damage", ["truncated", "flipped bit"])
@pytest.mark.usefixtures("always_due")
def test_a_damaged_checkpoint_is_not_used(
    tmp_path: Path,
    params: Params,
    expected_files: list[bytes],
    damage: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = write_data(tmp_path)
    train(params, workspace)
    path = workspace.checkpoints / "run/checkpoint.npz"
    content = path.read_bytes()
    index = content.index(b'"best_value"')
    rest = b"" if damage == "truncated" else bytes([content[index + 1] ^ 1]) + content[index + 1 :]
    path.write_bytes(content[:index] + rest)
    train(params, workspace)
    assert "not used" in capsys.readouterr().err
    assert read_files(workspace) == expected_files


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = CheckpointManager(tmp_path / "run")
    checkpoints.save([np.arange(3)], {"epoch": 1})

    def raise_disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", raise_disk_full)
        checkpoints.save([np.arange(4)], {"epoch": 2})
    arrays, state = checkpoints.restore()
    assert state == {"epoch": 1}
    assert arrays[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_training_with_a_checkpoint(
    tmp_path: Path, params: Params, expected_files: list[bytes], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    workspace = write_data(tmp_path)
    monkeypatch.setattr(CheckpointManager, "is_due", lambda self: False)
    with pytest.raises(KeyboardInterrupt):
        train(params, workspace, lambda *_: os.kill(os.getpid(), number))
    assert (workspace.checkpoints / "run/checkpoint.npz").exists()
    assert not (workspace.checkpoints / "run/finished").exists()
    assert signal.getsignal(number) is not None
    train(params, workspace)
    assert read_files(workspace) == expected_files
