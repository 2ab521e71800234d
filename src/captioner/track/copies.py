"""Copies of the repository in which other code and other parameters run, without touching the user's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from captioner.config import UserError
from captioner.track.record import Code


def clone(root: Path, code: Code, copy: Path, cache: Path) -> None:
    """Clones the repository ``root`` at a commit with a patch, to use the DVC cache ``cache``.

    Raises:
        UserError: the commit is gone, or the patch does not fit it.
    """
    git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(copy))
    if subprocess.run(["git", "cat-file", "-e", f"{code.commit}^{{commit}}"], cwd=copy, check=False).returncode:
        raise UserError(f"commit {code.commit[:12]} is not in this repository: fetch it, then try again")
    git(copy, "checkout", "--quiet", "--detach", code.commit)
    if code.patch:
        apply = ["git", "apply", "--whitespace=nowarn", "-"]
        if subprocess.run(apply, cwd=copy, input=code.patch, capture_output=True, check=False).returncode:
            raise UserError(f"the recorded patch does not fit commit {code.commit[:12]}: it is not the run's")
    if (root / ".dvc/config.local").exists():
        shutil.copy(root / ".dvc/config.local", copy / ".dvc/config.local")
    dvc(copy, "config", "--local", "cache.dir", str(cache))


def environment_of_copy(root: Path) -> dict[str, str]:
    """For stages in a copy: the project's Python comes first, and paths start at the user's repository."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"PATH": path, "DVC_ROOT": str(root)}


def dvc(folder: Path, *command: str) -> str:
    """What `dvc` printed.

    Raises:
        UserError: it failed.
    """
    return _output([sys.executable, "-m", "dvc", *command], folder)


def git(folder: Path, *command: str) -> str:
    """What `git` printed.

    Raises:
        UserError: it failed.
    """
    return _output(["git", *command], folder)


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`{' '.join(command[-3:])}` failed: {done.stderr.strip()}")
    return done.stdout
