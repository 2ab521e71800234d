"""Finished work in ``data/checkpoints``: it is kept until DVC has committed the outs, and linked where possible."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from captioner.common.paths import Workspace
from captioner.common.unfinished_work import mark_finished, mark_unfinished, remove_committed_work
from captioner.common.writing import link_or_copy


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder of work in the workspace ``tmp_path``."""
    folder = Workspace(tmp_path).checkpoints / "prepare-1"
    folder.mkdir(parents=True)
    (folder / "train.npy").touch()
    return folder


def set_lock_age(workspace: Workspace, marker: Path, seconds: int) -> None:
    """Write ``dvc.lock`` as DVC does this many seconds after the work was finished."""
    workspace.dvc_lock.touch()
    time = marker.stat().st_mtime + seconds
    os.utime(workspace.dvc_lock, (time, time))


@pytest.mark.parametrize(
    ("seconds", "experiment", "out_exists", "kept"),
    [
        (None, False, True, True),
        (-5, False, True, True),
        (5, False, False, False),
        (5, True, True, False),
        (5, True, False, True),  # at its start, `dvc exp run` writes dvc.lock, and deletes outs that were not committed
    ],
)
def test_finished_work_is_removed_only_after_dvc_has_committed(
    work: Path, seconds: int | None, experiment: bool, out_exists: bool, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if experiment:
        monkeypatch.setenv("DVC_EXP_NAME", "busy-name")
    workspace = Workspace(work.parents[2])
    mark_finished(work, workspace.features)
    if out_exists:
        workspace.features.mkdir(parents=True)
    if seconds is not None:
        set_lock_age(workspace, work / "finished", seconds)
    remove_committed_work(workspace)
    assert work.exists() == kept


def test_unfinished_work_is_never_removed(work: Path) -> None:
    workspace = Workspace(work.parents[2])
    mark_finished(work, work)
    set_lock_age(workspace, work / "finished", 5)
    mark_unfinished(work)
    remove_committed_work(workspace)
    assert (work / "train.npy").exists()


def test_without_links_a_file_is_copied(tmp_path: Path) -> None:
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    (tmp_path / "source").write_text("features")
    with TemporaryDirectory(dir=memory) as folder:
        link_or_copy(tmp_path / "source", Path(folder) / "target")
        assert (Path(folder) / "target").read_text() == "features"
    link_or_copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").samefile(tmp_path / "source")
