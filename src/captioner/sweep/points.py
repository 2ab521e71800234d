"""A point of a sweep: one set of parameters, run in a process and a copy of the repository of its own."""

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

from captioner.compose import compose
from captioner.config import Params, UserError, check_params, errors_in_one_line
from captioner.sweep.start import DONE, SWEEPS, Sweep, lock_file
from captioner.track.copies import clone, dvc, environment_of_copy, git
from captioner.track.identity import deciding_params, flat, hash_of, identify

# Stages that several points may share, with the sections of params.yaml that decide what they write.
SHARED = {
    "prepare": ("data",),
    "tokenize-adapt": ("data", "text"),
    "train": ("seed", "data", "text", "model", "train"),
}
TAIL = 15  # lines of a failed point's log that are shown


def point(_: DictConfig) -> float:
    """The job that Hydra launches: the objective of the point, NaN where it failed.

    It only starts another process, so that nothing of Keras's state gets from one point to the next.
    """
    settings = HydraConfig.get()
    overrides = [word for word in settings.overrides.task if not word.lstrip("+").startswith("sweep=")]
    sweep, number = Sweep.of_process(), settings.job.num
    log, answer = sweep.folder / f"{number}.log", sweep.folder / f"{number}.json"
    began = time.monotonic()
    told = f"#{number} {' '.join(overrides)}"
    print(f"{told}: see {os.path.relpath(log)}", flush=True)
    with log.open("w") as out:
        command = [sys.executable, "-m", "captioner.sweep.points", str(answer), *overrides]
        limits = _limits(int(settings.launcher.get("n_jobs", 1)))
        done = subprocess.run(command, stdout=out, stderr=out, env=os.environ | limits, check=False)
    if done.returncode or not answer.exists():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
        print(f"{told}: FAILED; its log ends with\n{tail}", flush=True)
        answer.write_text(json.dumps({"overrides": overrides, "log": str(log)}), encoding="utf-8")
        return float("nan")
    result = json.loads(answer.read_text(encoding="utf-8"))
    value = float(result["metrics"][result["params"]["score.objective"]])
    how = f"{time.monotonic() - began:.0f} s" if result["computed"] else "known"
    print(f"{told}: {result['params']['score.objective']} {value:.4f} ({how})", flush=True)
    return value


def _limits(jobs: int) -> dict[str, str]:
    """So many threads for each that jobs at the same time do not fight for the cores."""
    granted = os.environ.get("SLURM_CPUS_PER_TASK")
    if jobs == 1 and not granted:
        return {}
    cores = os.cpu_count() or 1
    threads = granted or str(max(1, cores // (jobs if jobs > 0 else cores)))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "ARROW_NUM_THREADS")
    return dict.fromkeys(names, threads)


def run_point(sweep: Sweep, overrides: list[str]) -> dict[str, Any]:
    """Makes the point's DVC experiment and its MLflow run, or finds that they have been made.

    Returns:
        name (of the experiment), overrides, params (flat), metrics, run_hash, computed.

    Raises:
        UserError: the overrides make no sense, or a stage failed.
    """
    root = Path(sweep.root)
    os.environ["DVC_ROOT"] = str(root)
    text = compose(overrides, sweep.folder)
    params = check_params(yaml.safe_load(text))
    name = f"sweep-{_digest(sweep.commit, sweep.code.patch_hash, text, _stamp(params))[:10]}"
    known = root / DONE / f"{name}.json"
    with FileLock(lock_file(root, name)):
        if known.exists() and _has_experiment(root, name):
            return json.loads(known.read_text(encoding="utf-8")) | {"overrides": overrides, "computed": False}
        copy = root / SWEEPS / "points" / name
        _clone_once(sweep, copy, text)
        _run_stages(sweep, copy, params, name)
        dvc(copy, "exp", "save", "--quiet", "--force", "--name", name)
        git(root, "fetch", "--quiet", "--no-auto-maintenance", str(copy), "+refs/exps/*:refs/exps/*")
        result = {
            "name": name,
            "overrides": overrides,
            "params": dict(flat(params.model_dump())),
            "metrics": json.loads((copy / "reports/metrics.json").read_text(encoding="utf-8")),
            "run_hash": hash_of(identify(params, copy)),
            "computed": True,
        }
        known.parent.mkdir(parents=True, exist_ok=True)
        partial = known.with_suffix(".partial")
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.replace(known)  # as a whole, for those who are killed meanwhile
        shutil.rmtree(copy)
    return result


def _clone_once(sweep: Sweep, copy: Path, text: str) -> None:
    """The point's copy; one that an interrupted process left is taken up, with the checkpoints in it."""
    ready = copy / ".dvc" / "tmp" / "ready"
    if ready.exists():
        return
    shutil.rmtree(copy, ignore_errors=True)
    copy.parent.mkdir(parents=True, exist_ok=True)
    cache = dvc(Path(sweep.root), "cache", "dir").strip()
    clone(Path(sweep.root), sweep.code, copy, cache=(Path(sweep.root) / cache).resolve())
    (copy / "params.yaml").write_text(text, encoding="utf-8")
    git(copy, "add", "--all")  # new files are part of the experiment
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.touch()


def _run_stages(sweep: Sweep, copy: Path, params: Params, name: str) -> None:
    """Runs the pipeline; what another point is computing is waited for and then taken from DVC's cache."""
    root, tree = Path(sweep.root), deciding_params(params)
    for stage, sections in SHARED.items():
        deciding = {key: value for key, value in tree.items() if key.partition(".")[0] in sections}
        key = _digest(stage, sweep.commit, sweep.code.patch_hash, json.dumps(deciding, sort_keys=True), _stamp(params))
        with FileLock(lock_file(root, key)):
            made = lock_file(root, key).with_suffix(".made")
            if not made.exists():
                _repro(root, copy, name, stage)
                made.touch()
    _repro(root, copy, name)


def _repro(root: Path, copy: Path, name: str, *stage: str) -> None:
    variables = environment_of_copy(root) | {"DVC_EXP_NAME": name}
    command = [sys.executable, "-m", "dvc", "repro", *stage]
    if subprocess.run(command, cwd=copy, env=variables, check=False).returncode:
        raise UserError(f"`dvc repro` failed in {copy}")


def _has_experiment(root: Path, name: str) -> bool:
    return name in git(root, "for-each-ref", "refs/exps", "--format=%(refname:lstrip=-1)").split()


def _stamp(params: Params) -> str:
    """Changes when a user's own pictures or weights do. DVC hashes them; this only notices quickly."""
    weights = params.data.extractor.weights
    files = [Path(params.data.extractor.watch)] if weights not in (None, "imagenet", "builtin") else []
    if params.data.path:
        files += sorted(file for file in Path(params.data.watch).rglob("*") if file.is_file())
    return _digest(*(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main() -> None:
    """Runs one point: the file for its answer, then its overrides."""
    with errors_in_one_line():
        result = run_point(Sweep.of_process(), sys.argv[2:])
        Path(sys.argv[1]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
