"""Finished work that is kept in ``data/checkpoints`` until DVC has committed a stage's outs.

DVC deletes the outs of a stage before it runs it. If DVC is killed while it hashes the outs of a stage that has ended,
the next run finds the results of hours only in the folder in which the stage worked.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from captioner.common.paths import Workspace

_MARKER = "finished"


def mark_finished(folder: Path, out: Path) -> None:
    """Mark the work in a folder of ``data/checkpoints`` as finished: ``out`` holds its results."""
    (folder / _MARKER).write_text(str(out), encoding="utf-8")


def mark_unfinished(folder: Path) -> None:
    """Take back `mark_finished`, before the work in a folder is continued."""
    (folder / _MARKER).unlink(missing_ok=True)


def remove_committed_work(workspace: Workspace) -> None:
    """Delete each folder of finished work that is older than ``dvc.lock``, which DVC writes after it commits the outs.

    `dvc exp run` (DVC sets ``DVC_EXP_NAME``) also writes ``dvc.lock`` at its start. In such a run, work is kept while
    its out is missing, because DVC deleted the out and is about to make it again. Without ``dvc.lock``, nothing is
    deleted.
    """
    if not workspace.dvc_lock.exists():
        return
    committed = workspace.dvc_lock.stat().st_mtime_ns
    for marker in workspace.checkpoints.glob(f"*/{_MARKER}"):
        out = workspace.root / marker.read_text(encoding="utf-8")
        is_current = out.exists() or "DVC_EXP_NAME" not in os.environ
        if marker.stat().st_mtime_ns < committed and is_current:
            shutil.rmtree(marker.parent)
