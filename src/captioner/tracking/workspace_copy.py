"""Copies of the repository in which other code and parameters run without touching the user's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from captioner.common.errors import UserError
from captioner.tracking.provenance import CodeVersion


def clone_workspace(root: Path, code: CodeVersion, copy: Path, cache: Path) -> None:
    """Clone the repository ``root`` into ``copy`` at a commit with a patch, and set its DVC cache to ``cache``.

    Raises:
        UserError: the repository lacks the commit, or the patch does not apply.
    """
    run_program(root, "git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(copy))
    if subprocess.run(["git", "cat-file", "-e", f"{code.commit}^{{commit}}"], cwd=copy, check=False).returncode:
        raise UserError(f"commit {code.commit[:12]} is not in this repository: fetch it, then try again")
    run_program(copy, "git", "checkout", "--quiet", "--detach", code.commit)
    if code.patch:
        apply = ["git", "apply", "--whitespace=nowarn", "-"]
        if subprocess.run(apply, cwd=copy, input=code.patch, capture_output=True, check=False).returncode:
            raise UserError(f"the recorded patch does not apply to commit {code.commit[:12]}: it is not the run's")
    if (root / ".dvc/config.local").exists():
        shutil.copy(root / ".dvc/config.local", copy / ".dvc/config.local")
    run_dvc(copy, "config", "--local", "cache.dir", str(cache))


def workspace_environment(root: Path) -> dict[str, str]:
    """Return the environment variables for stages in a copy.

    The project's Python comes first in PATH, and relative paths start at the user's repository.
    """
    variables = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
    return variables | {"PATH": path, "DVC_ROOT": str(root)}


def run_dvc(folder: Path, *command: str) -> str:
    """Return the output of `dvc`; raises as `run_program`."""
    return run_program(folder, sys.executable, "-m", "dvc", *command)


def run_program(folder: Path, *command: str) -> str:
    """Return the output of a program.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`{' '.join(command[-3:])}` failed: {done.stderr.strip()}")
    return done.stdout
