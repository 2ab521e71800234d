"""What the record of a run holds in addition to its results: code, environment, and the hash of each output."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from captioner.common.paths import STAGES, Workspace
from captioner.model.weights_hash import weights_hash
from captioner.tracking.run_hash import DATA_STAGES, read_locked_stages

# The parts of the working tree that can change a run. dvc.lock and reports/ are results.
CODE_PATHS = ("src", "conf", "requirements", "dvc.yaml", "params.yaml", "pyproject.toml")
# Environment variables that can change bits.
RECORDED_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS")


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


def read_code_version(root: Path = Path(), paths: Sequence[str] = CODE_PATHS) -> CodeVersion:
    """Return the commit of ``root`` and the uncommitted changes in ``paths``, without changing git's index."""
    head = _run_git(root, "rev-parse", "HEAD")
    if head is None:
        return CodeVersion("", b"")
    index = root / os.fsdecode((_run_git(root, "rev-parse", "--git-path", "index") or b"").strip())
    index_copy = index.with_name(f"index.captioner.{os.getpid()}")
    try:
        shutil.copyfile(index, index_copy)
        variables = {"GIT_INDEX_FILE": str(index_copy.resolve())}
        existing = [name for name in paths if (root / name).exists()]
        _run_git(root, "add", "--all", "--", *existing, **variables)
        diff = ("diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--full-index", "HEAD", "--", *paths)
        return CodeVersion(head.decode().strip(), _run_git(root, *diff, **variables) or b"")
    finally:
        index_copy.unlink(missing_ok=True)


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
    weights = workspace.model / "captioner.weights.h5"
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


def describe_environment(workspace: Workspace = Workspace()) -> dict[str, Any]:
    """Return the machine and the installed packages. They can change bits, but are not part of the run hash."""
    requirements = workspace.requirements
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _describe_cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": _describe_gpu(),
        "variables": {name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ},
        "requirements": hashlib.sha256(requirements.read_bytes()).hexdigest() if requirements.exists() else None,
        "packages": {d.metadata["Name"].lower(): d.version for d in sorted(distributions(), key=lambda d: d.name)},
    }


def _describe_cpu() -> str:
    """Return the CPU's model and a hash of its flags, by which libraries choose their kernels."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = [line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line]
    fields = {key.strip(): value.strip() for key, value in lines}
    flags = hashlib.sha256(" ".join(sorted(fields.get("flags", "").split())).encode()).hexdigest()[:12]
    return f"{fields.get('model name', platform.processor())}, flags {flags}"


def _describe_gpu() -> str | None:
    """Return the device and its driver; CUDA and cuDNN are among the packages."""
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _run_git(root: Path, *command: str, **variables: str) -> bytes | None:
    """Return the output of git, or None if it failed; its error message is printed."""
    done = subprocess.run(["git", *command], cwd=root, capture_output=True, env=os.environ | variables, check=False)
    if done.returncode:
        print(f"git {command[0]}: {done.stderr.decode().strip()}", file=sys.stderr)
        return None
    return done.stdout
