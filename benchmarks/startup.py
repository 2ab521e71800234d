"""Measure start-up: the time before a program does its work.

    PYTHONPATH=src python benchmarks/startup.py

Runs in the workspace, whose pipeline must have run (`dvc repro`). Runs evaluate there again, with the same outputs.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from measure import run_command
from result import check_limit, print_results

# Prints the seconds of the scoring itself; the rest of the process is imports, composition and MLflow.
EVALUATE = """
import time
import captioner.stages.evaluate as stage
evaluate_captions = stage.evaluate_captions
def evaluate_and_print_seconds(*arguments):
    start = time.perf_counter()
    metrics = evaluate_captions(*arguments)
    print("seconds", time.perf_counter() - start)
    return metrics
stage.evaluate_captions = evaluate_and_print_seconds
stage.main()
"""
SAMPLE_IMPORTS = """
from captioner.common.backend import use_backend
use_backend("jax")
import captioner.decode.generate, captioner.stages.sample, sys
from captioner.config.params import read_params
read_params()
sys.exit("tensorflow" in sys.modules)
"""


def main() -> None:
    """Print the results."""
    argparse.ArgumentParser().parse_args()  # without it, --help would start the benchmark
    results = [
        check_limit("captioner --help", "s", time_second_run("captioner", "--help"), 0.5),
        check_limit("dvc repro, nothing to do", "s", time_second_run("dvc", "repro"), 2),
        check_limit("evaluate, start-up and tracking", "s", measure_evaluate_overhead(), 3),
    ]
    if find_spec("jax"):
        seconds = time_second_run("python", "-c", SAMPLE_IMPORTS)
        results.append(check_limit("sample on jax, imports and parameters", "s", seconds, 3))
    print_results(results)


def measure_evaluate_overhead() -> float:
    """Return the seconds of the stage's process without those of ``evaluate_captions``."""
    seconds, output = run_command(["python", "-c", EVALUATE])
    return seconds - float(next(line.split()[1] for line in output.splitlines() if line.startswith("seconds ")))


def time_second_run(*command: str) -> float:
    """Return the seconds of the second run: the first one may fill caches."""
    run_command([*command])
    return run_command([*command])[0]


if __name__ == "__main__":
    main()
