"""What a run's record holds beside its results: the code, the environment, and the hash of each output."""

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

import yaml

from captioner.model.weights import weights_hash
from captioner.track.identity import LOCK

# What of the working tree can matter to a run; dvc.lock and reports/ are results.
CODE = ("src", "conf", "requirements", "dvc.yaml", "params.yaml", "pyproject.toml")
STAGES = ("prepare", "tokenize-adapt", "train", "sample", "evaluate")
# Settings of a shell that can change bits.
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS")


@dataclass(frozen=True)
class Code:
    """The code of a working tree: a commit, and what was changed in it since.

    Attributes:
        commit: 40 hex digits; empty outside of git.
        patch: `git diff --binary` of the uncommitted changes, new files included; empty where there are none.
    """

    commit: str
    patch: bytes

    @property
    def patch_hash(self) -> str:
        return hashlib.sha256(self.patch).hexdigest() if self.patch else ""


def code_of(root: Path = Path(), paths: Sequence[str] = CODE) -> Code:
    """The code as it lies in ``root``, with what was changed in ``paths``. Neither index nor files are touched."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return Code("", b"")
    index = root / os.fsdecode((_git(root, "rev-parse", "--git-path", "index") or b"").strip())
    own = index.with_name(f"index.captioner.{os.getpid()}")
    try:
        shutil.copyfile(index, own)
        there = [name for name in paths if (root / name).exists()]
        _git(root, "add", "--all", "--", *there, GIT_INDEX_FILE=str(own.resolve()))
        diff = ("diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "--full-index", "HEAD", "--", *paths)
        return Code(head.decode().strip(), _git(root, *diff, GIT_INDEX_FILE=str(own.resolve())) or b"")
    finally:
        own.unlink(missing_ok=True)


def output_hashes(root: Path = Path(), until: str = STAGES[-1]) -> dict[str, str]:
    """The hash of each output that is there, ``until`` a stage: what two runs are compared by, first stage first.

    ``train.weights`` is `weights_hash`; those of what is made before training are DVC's, which has read the large files
    already; the others are sha256 of the file.
    """
    lock = yaml.safe_load((root / LOCK).read_text(encoding="utf-8")) if (root / LOCK).exists() else {}
    found = {
        f"{stage}.{Path(out['path']).stem}": str(out["md5"])
        for stage in ("prepare", "tokenize-adapt")
        for out in lock.get("stages", {}).get(stage, {}).get("outs", [])
    }
    weights = root / "models/captioner/captioner.weights.h5"
    files = {
        "tokenize-adapt.vocabulary": root / "data/tokens/vocabulary.txt",
        "train.weights": weights,
        "train.history": root / "models/captioner/history.json",
        "sample.captions": root / "reports/captions.json",
        "evaluate.metrics": root / "reports/metrics.json",
    }
    known = STAGES[: STAGES.index(until) + 1]
    for name, path in files.items():
        if name.partition(".")[0] in known and path.exists():
            found[name] = weights_hash(path) if path == weights else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def environment(root: Path = Path()) -> dict[str, Any]:
    """The machine and the installed packages: with them bits can change, so they are recorded beside the run hash."""
    lock = root / "requirements" / "run.txt"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": _gpu(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "requirements": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else None,
        "packages": {d.metadata["Name"].lower(): d.version for d in sorted(distributions(), key=lambda d: d.name)},
    }


def _cpu() -> str:
    """Model and flags: libraries choose their kernels by them."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = hashlib.sha256(" ".join(sorted(named.get("flags", "").split())).encode()).hexdigest()[:12]
    return f"{named.get('model name', platform.processor())}, flags {flags}"


def _gpu() -> str | None:
    """Device and driver; CUDA and cuDNN are among the packages."""
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *command: str, **variables: str) -> bytes | None:
    """What git printed; None where it failed."""
    done = subprocess.run(["git", *command], cwd=root, capture_output=True, env=os.environ | variables, check=False)
    if done.returncode:
        print(f"git {command[0]}: {done.stderr.decode().strip()}", file=sys.stderr)
        return None
    return done.stdout
