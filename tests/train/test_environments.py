"""A training that is resumed in another environment says so, and keeps the list of the environments that took part."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_trainer import make_params, train_in, write_data

from captioner.common.paths import Workspace
from captioner.train.environments import describe_differences
from captioner.train.trainer import TrainingResult

A = {"cpu": "Zen 3", "cores": 8, "gpu": None, "packages": {"keras": "3.14", "numpy": "2.1", "jax": "0.9"}}
B = {"cpu": "Skylake", "cores": 8, "gpu": None, "packages": {"keras": "3.15", "numpy": "2.1", "rich": "15"}}
PARAMS = make_params(train__epochs=3)


def train_one_epoch(workspace: Workspace, environment: dict[str, Any], epoch: int = 1) -> None:
    """Train until a signal after an epoch, which an earlier process has not finished."""

    def stop(_steps: object, row: dict[str, float], _speed: object) -> None:
        if row["epoch"] == epoch:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train_in(environment, PARAMS, workspace, stop)


def resume(workspace: Workspace, environment: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """Return the result of the training, and the printed lines about another environment."""
    capsys.readouterr()
    result: TrainingResult = train_in(environment, PARAMS, workspace)
    return result, [line for line in capsys.readouterr().out.splitlines() if "another environment" in line]


def test_resuming_in_another_environment_prints_each_difference_and_keeps_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, undisturbed = write_data(tmp_path / "one"), write_data(tmp_path / "two")
    train_one_epoch(workspace, A)
    result, lines = resume(workspace, B, capsys)
    assert lines == [
        "resuming in another environment: cpu: Zen 3 -> Skylake",
        "resuming in another environment: packages: jax 0.9 -> None, keras 3.14 -> 3.15, rich None -> 15",
    ]
    assert result.environments == [A, B]
    assert train_in(A, PARAMS, undisturbed).environments == [A]
    assert workspace.history.read_bytes() == undisturbed.history.read_bytes(), "its bytes are hashed"


def test_resuming_in_the_same_environment_prints_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = write_data(tmp_path)
    train_one_epoch(workspace, A)
    result, lines = resume(workspace, A, capsys)
    assert (result.environments, lines) == ([A], [])


def test_environments_are_distinct_and_the_latest_is_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = write_data(tmp_path)
    train_one_epoch(workspace, A)
    train_one_epoch(workspace, B, epoch=2)
    result, lines = resume(workspace, A, capsys)
    assert result.environments == [B, A]
    assert lines[0] == "resuming in another environment: cpu: Skylake -> Zen 3"


def test_checkpoint_without_environments_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = write_data(tmp_path)
    train_one_epoch(workspace, A)
    path = workspace.checkpoints / "run/checkpoint.npz"
    with np.load(path) as file:
        arrays = dict(file)
    state = json.loads(arrays["state"].tobytes())
    del state["environments"]
    np.savez(path, **arrays | {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)})
    result, lines = resume(workspace, B, capsys)
    assert (result.environments, lines) == ([B], [])
    assert len(result.history["epochs"]) == 3


def test_many_differences_are_counted() -> None:
    old = {"packages": {f"p{number}": "1" for number in range(9)}, "cpu": "a"}
    new = {"packages": {f"p{number}": "2" for number in range(9)}, "cpu": "a"}
    assert describe_differences(old, new) == [
        "packages: p0 1 -> 2, p1 1 -> 2, p2 1 -> 2, p3 1 -> 2, and 5 other differences"
    ]
    assert describe_differences(old, old) == []
