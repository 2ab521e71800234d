"""The environment of a training: machine, device and packages. It can change bits, but is not part of the run hash."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from captioner.common.paths import Workspace, repository_root
from captioner.common.writing import write_text_atomically
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore
from captioner.tracking.run_hash import hash_identity

ENVIRONMENT_FILE = "environment.json"  # the artifact of a run; of the last process if the training was resumed
EARLIER_ENVIRONMENTS_FILE = "earlier_environments.json"  # of a training that was resumed in another environment
UNKNOWN_ENVIRONMENT = {"unknown": "the model was not trained in this repository"}
# Environment variables that can change bits.
RECORDED_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS")
HIDDEN_GPUS = ("", "-1")  # the values of CUDA_VISIBLE_DEVICES with which a user hides all GPUs


def describe_environment(device: str | None = None) -> dict[str, Any]:
    """Return the machine, the installed packages, and the hash of the workspace's locked requirements.

    ``device`` is that of `captioner.common.backend.used_device`, or None if nothing is computed.
    """
    requirements = Workspace().requirements
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _describe_cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": device,
        "gpu": _describe_gpu(),
        "variables": {name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ},
        "requirements": hashlib.sha256(requirements.read_bytes()).hexdigest() if requirements.exists() else None,
        "packages": {d.metadata["Name"].lower(): d.version for d in sorted(distributions(), key=lambda d: d.name)},
    }


def unused_gpu_warning(environment: dict[str, Any]) -> str | None:
    """Return one line if the machine has a GPU that the backend does not use, unless the user hid it; else None."""
    hidden = environment["variables"].get("CUDA_VISIBLE_DEVICES") in HIDDEN_GPUS
    if environment["device"] != "CPU" or not environment["gpu"] or hidden:
        return None
    return (
        f"warning: this machine has a GPU ({environment['gpu']}), but training runs on the CPU: install the libraries "
        "of CUDA (pip install 'captioner[gpu]'), or hide the GPU with CUDA_VISIBLE_DEVICES=-1"
    )


def save_training_environments(weights_hash: str, environments: list[dict[str, Any]]) -> None:
    """Keep the environments in which a model was first trained, in order, for a row that is logged later."""
    path = _environments_path(weights_hash)
    if not path.exists():  # `captioner verify` trains the same weights again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(environments))


def read_training_environments(weights_hash: str) -> list[dict[str, Any]]:
    """Return what `save_training_environments` kept; an empty list for a model that was trained in another place."""
    path = _environments_path(weights_hash)
    environments: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return environments


def log_environments(store: MlflowStore, run_id: str, environments: list[dict[str, Any]]) -> None:
    """Log the environments in which the model was trained; an empty list if it was trained in another place."""
    *earlier, last = environments or [UNKNOWN_ENVIRONMENT]
    store.log_file(run_id, ENVIRONMENT_FILE, last)
    if earlier:
        store.log_file(run_id, EARLIER_ENVIRONMENTS_FILE, {"environments": earlier})
    device = last.get("device", "unknown")
    tags = {
        tag.ENVIRONMENT: hash_identity(last)[:12] if environments else "unknown",
        tag.DEVICE: last["cpu"].partition(",")[0] if device == "CPU" else device,
    }
    store.set_tags(run_id, tags)


def read_logged_environments(store: MlflowStore, run_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the environment of a run's training, and the environments of earlier processes of the training."""
    earlier = store.read_artifact(run_id, EARLIER_ENVIRONMENTS_FILE)
    return store.read_json(run_id, ENVIRONMENT_FILE), json.loads(earlier)["environments"] if earlier else []


def _environments_path(weights_hash: str) -> Path:
    # A copy of the repository, in which a stage may run, is deleted afterwards.
    return Workspace(repository_root()).checkpoints / "environments" / f"{weights_hash}.json"


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
    """Return the machine's GPUs and their driver; CUDA and cuDNN are among the packages."""
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None
