"""Training that stops anywhere and goes on: the same weights and the same history."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from test_fit import no_watch, params, write_data

from captioner.config import Params
from captioner.model.checkpoints import Checkpoints
from captioner.model.fit import train

FILES = ("captioner.weights.h5", "config.json", "history.json", "summary.txt")


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture(scope="module")
def settings() -> Params:
    """Everything that draws at random is switched on."""
    return params(model__dropout=0.3, train__word_dropout=0.3, train__epochs=3, train__weight_decay=0.1)


@pytest.fixture(scope="module")
def whole(settings: Params, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What a training that nothing disturbs writes."""
    folder = tmp_path_factory.mktemp("whole")
    train(settings, *write_data(folder), folder / "model", folder / "kept", no_watch)
    assert not (folder / "kept").exists()
    return bytes_of(folder / "model")


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


# Three steps an epoch, and a checkpoint after each step and each epoch: 12 in all.
@pytest.mark.parametrize("number", [1, 4, 6, 12])
@pytest.mark.usefixtures("always_due")
def test_killed_after_a_checkpoint(
    tmp_path: Path, settings: Params, whole: list[bytes], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    features, tokens = write_data(tmp_path)
    write, written = Checkpoints.write, []

    def write_and_die(self: Checkpoints, *what: object) -> None:
        write(self, *what)
        written.append(what)
        if len(written) == number:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "write", write_and_die)
        train(settings, features, tokens, tmp_path / "again", tmp_path / "kept", no_watch)
    rows = []
    train(settings, features, tokens, tmp_path / "again", tmp_path / "kept", lambda *row: rows.append(row))
    assert bytes_of(tmp_path / "again") == whole
    # Whoever watches sees every epoch and every step once.
    assert [row["epoch"] for _, row, _ in rows] == [1, 2, 3]
    assert [step["step"] for steps, _, _ in rows for step in steps] == list(range(1, 10))
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", ["cut", "flipped"])
@pytest.mark.usefixtures("always_due")
def test_a_damaged_checkpoint_is_not_used(
    tmp_path: Path,
    settings: Params,
    whole: list[bytes],
    damage: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, tokens = write_data(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "remove", lambda self: None)
        train(settings, features, tokens, tmp_path / "again", tmp_path / "kept", no_watch)
    path = tmp_path / "kept" / "checkpoint.npz"
    content = path.read_bytes()
    inside = content.index(b'"best_loss"')
    broken = content[:inside] + (b"" if damage == "cut" else bytes([content[inside + 1] ^ 1]) + content[inside + 1 :])
    path.write_bytes(broken)
    train(settings, features, tokens, tmp_path / "again", tmp_path / "kept", no_watch)
    assert "not used" in capsys.readouterr().err
    assert bytes_of(tmp_path / "again") == whole


def test_a_write_that_fails_half_way_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "kept")
    checkpoints.write([np.arange(3)], {"epoch": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", full)
        checkpoints.write([np.arange(4)], {"epoch": 2})
    arrays, state = checkpoints.read()
    assert state == {"epoch": 1}
    assert arrays[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_checkpoint(
    tmp_path: Path, settings: Params, whole: list[bytes], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    features, tokens = write_data(tmp_path)
    monkeypatch.setattr(Checkpoints, "due", lambda self: False)
    with pytest.raises(KeyboardInterrupt):
        train(
            settings, features, tokens, tmp_path / "again", tmp_path / "kept", lambda *_: os.kill(os.getpid(), number)
        )
    assert (tmp_path / "kept" / "checkpoint.npz").exists()
    assert signal.getsignal(number) is not None
    train(settings, features, tokens, tmp_path / "again", tmp_path / "kept", no_watch)
    assert bytes_of(tmp_path / "again") == whole
