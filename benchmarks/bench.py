"""Run all benchmarks, one after another, and write one table: `make bench`.

    PYTHONPATH=src python benchmarks/bench.py [NAME ...]

Each benchmark runs in a separate process and measures its baseline in the same run. Writes ``reports/benchmarks.json``
and ``.md``. The workspace's pipeline must have run (`make repro`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from result import parse_results, write_report

from captioner.common.paths import Workspace
from captioner.tracking.environment import describe_environment

BENCHMARKS = ("flops", "training", "prepare", "decode", "scoring", "startup", "scaling", "tracking")


def main() -> None:
    """Print and write the table; the exit status is 1 if a benchmark failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    results, failed = [], []
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
        if process.returncode:
            failed.append(name)
            print(process.stderr.strip().splitlines()[-1], file=sys.stderr)
        results += parse_results(process.stdout)
    machine = describe_environment()
    conditions = {"date": date.today().isoformat(), "machine": f"{machine['cpu']}, {machine['cores']} cores"}
    conditions |= {"gpu": machine["gpu"] or "none"}
    print(write_report(results, Workspace().reports, conditions))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
