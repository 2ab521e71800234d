"""A job of a sweep: one set of parameters, run in a separate process and a separate clone of the repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from captioner.common.errors import UserError, errors_in_one_line
from captioner.common.paths import Workspace, resolve_in_repository
from captioner.common.writing import write_text_atomically
from captioner.config.compose import compose
from captioner.config.params import Params, check_params, flatten
from captioner.data.config import is_weights_file
from captioner.sweep.launch import JOB_RESULTS, SWEEPS, Sweep, lock_path
from captioner.tracking.provenance import output_hashes
from captioner.tracking.run_hash import deciding_params, hash_identity, run_identity
from captioner.tracking.workspace_copy import clone_workspace, run_dvc, run_program, workspace_environment

# Stages whose outputs several jobs can share, with the sections of params.yaml that decide these outputs.
SHARED_STAGES = {
    "prepare": ("data",),
    "tokenize-adapt": ("data", "text"),
    "train": ("seed", "data", "text", "model", "train"),
}
LOG_TAIL_LINES = 15  # of a failed job, printed
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "ARROW_NUM_THREADS")


def job(_: DictConfig) -> float:
    """Run the job that Hydra launched and return its objective, or NaN if it failed.

    The work is done in another process, because Keras keeps state that must not pass from one job to the next.
    """
    settings = HydraConfig.get()
    overrides = [override for override in settings.overrides.task if not override.lstrip("+").startswith("sweep=")]
    sweep, number = Sweep.from_environment(), settings.job.num
    log, answer = sweep.folder / f"{number}.log", sweep.folder / f"{number}.json"
    start = time.monotonic()
    title = f"#{number} {' '.join(overrides)}"
    print(f"{title}: see {os.path.relpath(log)}", flush=True)
    with log.open("w") as file:
        command = [sys.executable, "-m", "captioner.sweep.job", str(answer), *overrides]
        variables = os.environ | _limit_threads(int(settings.launcher.get("n_jobs", 1)))
        process = subprocess.run(command, stdout=file, stderr=file, env=variables, check=False)
    if process.returncode or not answer.exists():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        print(f"{title}: FAILED; its log ends with\n{tail}", flush=True)
        answer.write_text(json.dumps({"overrides": overrides, "log": str(log)}), encoding="utf-8")
        return float("nan")
    result = json.loads(answer.read_text(encoding="utf-8"))
    objective = result["params"]["score.objective"]
    value = float(result["metrics"][objective])
    duration = f"{time.monotonic() - start:.0f} s" if result["computed"] else "already computed"
    print(f"{title}: {objective} {value:.4f} ({duration})", flush=True)
    return value


def _limit_threads(parallel_jobs: int) -> dict[str, str]:
    """Return environment variables that divide the cores among the jobs that run at the same time."""
    slurm_cores = os.environ.get("SLURM_CPUS_PER_TASK")
    if parallel_jobs == 1 and not slurm_cores:
        return {}
    cores = os.cpu_count() or 1
    threads = slurm_cores or str(max(1, cores // (parallel_jobs if parallel_jobs > 0 else cores)))
    return dict.fromkeys(THREAD_VARIABLES, threads)


def run_job(sweep: Sweep, overrides: list[str]) -> dict[str, Any]:
    """Make the job's DVC experiment and MLflow run, unless an earlier job has made them.

    Returns:
        name (of the experiment), overrides, params (flat), metrics, run_hash, weights_hash, computed (False for an
        earlier result).

    Raises:
        UserError: the overrides are invalid, or a stage failed.
    """
    root = Path(sweep.root)
    os.environ["DVC_ROOT"] = str(root)
    params_yaml = compose(overrides, sweep.folder)
    params = check_params(yaml.safe_load(params_yaml))
    name = f"sweep-{_digest(sweep.commit, sweep.code.patch_hash, params_yaml, _stamp_user_files(params))[:10]}"
    result_file = root / JOB_RESULTS / f"{name}.json"
    with FileLock(lock_path(root, name)):
        experiments = run_program(root, "git", "for-each-ref", "refs/exps", "--format=%(refname:lstrip=-1)").split()
        if result_file.exists() and name in experiments:
            return json.loads(result_file.read_text(encoding="utf-8")) | {"overrides": overrides, "computed": False}
        clone = root / SWEEPS / "jobs" / name
        _clone_or_resume(sweep, clone, params_yaml)
        _run_stages(sweep, clone, params, name)
        run_dvc(clone, "exp", "save", "--quiet", "--force", "--name", name)
        run_program(root, "git", "fetch", "--quiet", "--no-auto-maintenance", str(clone), "+refs/exps/*:refs/exps/*")
        workspace = Workspace(clone)
        result = {
            "name": name,
            "overrides": overrides,
            "params": dict(flatten(params.model_dump())),
            "metrics": json.loads(workspace.metrics.read_text(encoding="utf-8")),
            "run_hash": hash_identity(run_identity(params, workspace)),
            "weights_hash": output_hashes(workspace, until="train")["train.weights"],
            "computed": True,
        }
        result_file.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(result_file, json.dumps(result))
        shutil.rmtree(clone)
    return result


def _clone_or_resume(sweep: Sweep, clone: Path, params_yaml: str) -> None:
    """Clone the repository for a job. The clone of an interrupted job is used again, with its checkpoints."""
    ready = clone / ".dvc" / "tmp" / "ready"
    if ready.exists():
        return
    shutil.rmtree(clone, ignore_errors=True)
    clone.parent.mkdir(parents=True, exist_ok=True)
    cache = run_dvc(Path(sweep.root), "cache", "dir").strip()
    clone_workspace(Path(sweep.root), sweep.code, clone, cache=(Path(sweep.root) / cache).resolve())
    Workspace(clone).params.write_text(params_yaml, encoding="utf-8")
    run_program(clone, "git", "add", "--all")  # `dvc exp save` leaves out untracked files
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.touch()


def _run_stages(sweep: Sweep, clone: Path, params: Params, name: str) -> None:
    """Run the pipeline. A shared stage runs in one job; the others wait and take its outputs from DVC's cache."""
    root, tree = Path(sweep.root), deciding_params(params)
    code = (sweep.commit, sweep.code.patch_hash)
    for stage, sections in SHARED_STAGES.items():
        deciding = {key: value for key, value in tree.items() if key.partition(".")[0] in sections}
        key = _digest(stage, *code, json.dumps(deciding, sort_keys=True), _stamp_user_files(params))
        lock = lock_path(root, key)
        with FileLock(lock):
            finished = lock.with_suffix(".done")
            if not finished.exists():
                _run_pipeline(root, clone, name, stage)
                finished.touch()
    _run_pipeline(root, clone, name)


def _run_pipeline(root: Path, clone: Path, name: str, *stage: str) -> None:
    """Run `dvc repro` in the clone, up to ``stage`` if given."""
    variables = workspace_environment(root) | {"DVC_EXP_NAME": name}
    command = [sys.executable, "-m", "dvc", "repro", *stage]
    if subprocess.run(command, cwd=clone, env=variables, check=False).returncode:
        raise UserError(f"`dvc repro` failed in {clone}")


def _stamp_user_files(params: Params) -> str:
    """Return a digest of the sizes and times of the user's images and weights. It is faster than DVC's hashes."""
    weights = params.data.extractor.weights
    files = [resolve_in_repository(str(weights))] if is_weights_file(weights) else []
    if params.data.path:
        files += sorted(file for file in resolve_in_repository(params.data.path).rglob("*") if file.is_file())
    return _digest(*(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main() -> None:
    """Run one job. The arguments are the file for its answer and the overrides."""
    with errors_in_one_line():
        result = run_job(Sweep.from_environment(), sys.argv[2:])
        Path(sys.argv[1]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
