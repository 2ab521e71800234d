"""The pull of a run's data from a DVC remote into the copy in which the run is rebuilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dvc.config import Config
from helpers.repository import run

from captioner.common.paths import Workspace
from captioner.tracking import reproduce

LOCK = {"schema": "2.0", "stages": {"prepare": {"cmd": "p"}, "train": {"cmd": "t"}}}


@pytest.mark.parametrize("default", ["no default remote", "default remote"])
def test_data_is_pulled_only_from_a_default_remote_and_paths_of_remotes_keep_their_spaces(
    default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    root, copy = tmp_path / "repository", Workspace(tmp_path / "elsewhere/in/copy")
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    run(root, "dvc", "init", "--quiet", "--no-scm")
    shutil.copytree(root, copy.root)  # it has none of the remotes that are added later
    run(root, "dvc", "remote", "add", "--global", "photos", "/home/ann/my photos")
    run(root, "dvc", "remote", "add", *(["--default"] if default == "default remote" else []), "store", "../my store")
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(reproduce, "_run_in_copy", lambda _, *command: commands.append(command))
    reproduce._pull_data(copy, LOCK)
    remotes = Config(str(copy.root / ".dvc"))["remote"]
    assert remotes["photos"]["url"] == "/home/ann/my photos"
    assert remotes["store"]["url"] == str(tmp_path / "my store")
    assert [command[:4] for command in commands] == (
        [("dvc", "pull", "--remote", "store")] if default == "default remote" else []
    )
    assert copy.dvc_lock.exists() == (default == "default remote")
