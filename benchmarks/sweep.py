"""What a sweep costs beyond the stages of its points: seconds a point.

    python benchmarks/sweep.py

In a fresh clone, at a tiny size: a sweep of some points, whose prepare and tokenize-adapt have been run; the same
sweep again; and, for comparison, the commands of the same points' stages by themselves, without DVC.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

ROOT = Path(__file__).parents[1]
TINY = [
    *("data.limit=48", "train.epochs=1", "model.attention_dim=16", "model.embedding_dim=16"),
    *("decode.strategy=greedy", "score.figure_pictures=2"),
]
OF_A_POINT = ("train", "sample", "evaluate")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=3)
    points = range(9, 9 + parser.parse_args().points)
    with TemporaryDirectory() as folder:
        repo = Path(folder) / "repo"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(repo)], check=True)
        sweep(repo, [8])
        swept = sweep(repo, points)
        known = sweep(repo, points)
        alone = sum(stages(repo, units) for units in points)
    print(f"{'':42} seconds a point  ratio")
    for name, seconds in (
        ("its stages alone (train, sample, evaluate)", alone),
        ("in a sweep", swept),
        ("beyond its stages", swept - alone),
        ("known already", known),
    ):
        print(f"{name:42} {seconds / len(points):15.1f} {seconds / alone:6.2f}")


def sweep(repo: Path, points: list[int] | range) -> float:
    """Seconds of a sweep over ``model.units``."""
    units = ",".join(map(str, points))
    return seconds_of(repo, [sys.executable, "-m", "captioner.sweep", "-m", *TINY, f"model.units={units}"])


def stages(repo: Path, units: int) -> float:
    """Seconds of the stages' own commands, one after another."""
    compose = [sys.executable, "-m", "captioner.compose", *TINY, f"model.units={units}"]
    seconds_of(repo, compose)
    seconds_of(repo, [sys.executable, "-m", "dvc", "repro", "tokenize-adapt"])
    commands = yaml.safe_load((repo / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return sum(seconds_of(repo, ["sh", "-c", commands[name]["cmd"]]) for name in OF_A_POINT)


def seconds_of(repo: Path, command: list[str]) -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.perf_counter()
    subprocess.run(command, cwd=repo, env=os.environ | {"PATH": path}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
