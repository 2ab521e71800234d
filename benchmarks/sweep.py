"""Measure the overhead of a sweep: the seconds that it adds to the stages of each job.

    python benchmarks/sweep.py

It works in a clone of the repository, at a tiny size. Once prepare and tokenize-adapt have run, it measures a sweep,
the same sweep again, and, as the baseline, the commands of the same stages without DVC.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from measure import run_command

ROOT = Path(__file__).parents[1]
OVERRIDES = [
    *("data.limit=48", "train.epochs=1", "model.attention_dim=16", "model.embedding_dim=16"),
    *("decode.strategy=greedy", "score.figure_pictures=2"),
]
STAGES_OF_JOB = ("train", "sample", "evaluate")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3)
    unit_counts = range(9, 9 + parser.parse_args().jobs)  # values of model.units, one per job
    with TemporaryDirectory() as folder:
        repository = Path(folder) / "repo"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(repository)], check=True)
        run_sweep(repository, [8])  # not measured: runs prepare and tokenize-adapt, which the other jobs reuse
        first = run_sweep(repository, unit_counts)
        repeated = run_sweep(repository, unit_counts)
        stages = sum(run_stages(repository, units) for units in unit_counts)
    print(f"{'':42} seconds per job  ratio")
    for name, seconds in (
        ("stages alone (train, sample, evaluate)", stages),
        ("sweep", first),
        ("sweep, overhead", first - stages),
        ("sweep again, all results known", repeated),
    ):
        print(f"{name:42} {seconds / len(unit_counts):15.1f} {seconds / stages:6.2f}")


def run_sweep(repository: Path, unit_counts: Sequence[int]) -> float:
    """Return the seconds of a sweep over ``model.units``."""
    values = ",".join(map(str, unit_counts))
    command = [sys.executable, "-m", "captioner.sweep", "-m", *OVERRIDES, f"model.units={values}"]
    return run_command(command, repository)[0]


def run_stages(repository: Path, units: int) -> float:
    """Return the seconds of the commands of the stages, one after another."""
    run_command([sys.executable, "-m", "captioner.cli", "params", *OVERRIDES, f"model.units={units}"], repository)
    run_command([sys.executable, "-m", "dvc", "repro", "tokenize-adapt"], repository)
    stages = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return sum(run_command(["sh", "-c", stages[name]["cmd"]], repository)[0] for name in STAGES_OF_JOB)


if __name__ == "__main__":
    main()
