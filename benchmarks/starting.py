"""Start-up: what a user waits for before any work is done.

    PYTHONPATH=src python benchmarks/starting.py

In the workspace, whose pipeline must have run (`dvc repro`); evaluate is run again in it, to the same files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from rows import give, within

BIN = Path(sys.executable).parent
# The stage's process says how long its room worked; the rest of its time is imports, composition and MLflow.
EVALUATE = """
import time
import captioner.stages.evaluate as stage
room = stage.evaluate
def timed(**arguments):
    began = time.perf_counter()
    metrics = room(**arguments)
    print("room", time.perf_counter() - began)
    return metrics
stage.evaluate = timed
stage.main()
"""
SAMPLE = """
from captioner.backend import use_backend
use_backend("jax")
import captioner.decode.sample, captioner.stages.sample, sys
from captioner.config import read_params
read_params()
sys.exit("tensorflow" in sys.modules)
"""


def main() -> None:
    """Prints the rows."""
    rows = [
        within("captioner --help", seconds_of("captioner", "--help"), "s", 0.5),
        within("dvc repro with nothing to do", seconds_of("dvc", "repro"), "s", 2),
        within("evaluate, beyond its own work", evaluate_overhead(), "s", 3),
    ]
    if find_spec("jax"):
        rows.append(within("sample on jax, imports and parameters", seconds_of("python", "-c", SAMPLE), "s", 3))
    give(rows)


def evaluate_overhead() -> float:
    """Seconds of the stage's process without those of `captioner.score`."""
    took, printed = run("python", "-c", EVALUATE)
    room = next(line.split()[1] for line in printed.splitlines() if line.startswith("room "))
    return took - float(room)


def seconds_of(*command: str) -> float:
    """Of the second time: the first one may fill caches."""
    run(*command)
    return run(*command)[0]


def run(*command: str) -> tuple[float, str]:
    """Seconds, and what was printed."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    began = time.perf_counter()
    done = subprocess.run(
        [BIN / command[0], *command[1:]], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    taken = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)[:80]} failed:\n{done.stderr}")
    return taken, done.stdout


if __name__ == "__main__":
    main()
