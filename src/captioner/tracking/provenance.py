"""The code and the hash of each output, which the record of a run holds in addition to its results."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captioner.common.paths import STAGES, Workspace, repository_root
from captioner.model.weights_hash import weights_hash
from captioner.tracking.run_hash import read_locked_stages

DATA_STAGES = STAGES[:2]  # the stages before training
# The parts of the working tree that can change a run. dvc.lock and reports/ are results.
CODE_PATHS = ("src", "conf", "requirements", "dvc.yaml", "params.yaml", "pyproject.toml")


@dataclass(frozen=True)
class CodeVersion:
    """The code of a working tree: a commit, and the changes since.

    Attributes:
        commit: 40 hex digits; empty outside of git.
        patch: `git diff --binary` of the uncommitted changes, new files included; empty if there are none.
    """

    commit: str
    patch: bytes

    @property
    def patch_hash(self) -> str:
        """The sha256 of the patch; empty for an empty patch."""
        return hashlib.sha256(self.patch).hexdigest() if self.patch else ""

    def remember_patch(self) -> None:
        """Remember that the patch was made in this repository, so that its code may run here again."""
        if not self.is_remembered():
            path = _patches_path()
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{self.patch_hash}\n")

    def is_remembered(self) -> bool:
        """Return whether a run of this repository recorded the patch."""
        path = _patches_path()
        return path.exists() and self.patch_hash in path.read_text(encoding="utf-8").split()

    def changes_only_params(self) -> bool:
        """Return whether the patch changes no file but ``params.yaml``, or is empty; it then contains no code."""
        command = ["git", "apply", "--numstat", "-z", "-"]  # a line "ADDED\tREMOVED\tPATH" for each file
        listed = subprocess.run(command, input=self.patch, capture_output=True, check=False).stdout.split(b"\0")
        return not self.patch or {line.split(b"\t")[-1] for line in listed if line} == {b"params.yaml"}


def read_code_version(paths: Sequence[str] = CODE_PATHS) -> CodeVersion:
    """Return the workspace's commit and the uncommitted changes in ``paths``, without changing git's index."""
    head = _run_git("rev-parse", "HEAD")
    if head is None:
        return CodeVersion("", b"")
    index = Path(os.fsdecode((_run_git("rev-parse", "--git-path", "index") or b"").strip()))
    index_copy = index.with_name(f"index.captioner.{os.getpid()}")
    try:
        shutil.copyfile(index, index_copy)
        variables = {"GIT_INDEX_FILE": str(index_copy.resolve())}
        existing = [name for name in paths if Path(name).exists()]
        _run_git("add", "--all", "--", *existing, **variables)
        diff = ("diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--full-index", "HEAD", "--", *paths)
        return CodeVersion(head.decode().strip(), _run_git(*diff, **variables) or b"")
    finally:
        index_copy.unlink(missing_ok=True)


def _patches_path() -> Path:
    return repository_root() / ".dvc/tmp/captioner_patches.txt"


def output_hashes(workspace: Workspace = Workspace(), until: str = STAGES[-1]) -> dict[str, str]:
    """Return the hash of each existing output up to the stage ``until``, by stage and name, in the order of stages.

    ``train.weights`` is a `weights_hash`. The hashes of outputs of the stages before training come from ``dvc.lock``,
    because DVC has already read these large files. All others are the sha256 of the file.
    """
    locked = read_locked_stages(workspace)
    hashes = {
        f"{stage}.{Path(out['path']).stem}": str(out["md5"])
        for stage in DATA_STAGES
        for out in locked.get(stage, {}).get("outs", [])
    }
    weights = workspace.model_weights
    files = {
        "tokenize-adapt.vocabulary": workspace.vocabulary,
        "train.weights": weights,
        "train.history": workspace.history,
        "sample.captions": workspace.generated_captions,
        "evaluate.metrics": workspace.metrics,
    }
    stages = STAGES[: STAGES.index(until) + 1]
    for name, path in files.items():
        if name.partition(".")[0] in stages and path.exists():
            hashes[name] = weights_hash(path) if path == weights else hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def _run_git(*command: str, **variables: str) -> bytes | None:
    """Return the output of git, or None if it failed; its error message is printed."""
    done = subprocess.run(["git", *command], capture_output=True, env=os.environ | variables, check=False)
    if done.returncode:
        print(f"git {command[0]}: {done.stderr.decode().strip()}", file=sys.stderr)
        return None
    return done.stdout
