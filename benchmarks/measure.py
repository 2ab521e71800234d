"""Measurement of time, memory and other programs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def time_call(work: Callable[[], object]) -> float:
    """Return the seconds that one call of ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_seconds(work: Callable[[], object], repetitions: int = 3) -> float:
    """Return the median of the seconds that ``work`` takes, after one call that is not measured."""
    work()
    return statistics.median(time_call(work) for _ in range(repetitions))


def measure_memory() -> float:
    """Return the memory of this process in MB without the pages of mapped files (RssAnon, Linux only)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


def run_command(command: list[str], folder: Path | None = None, **variables: str) -> tuple[float, str]:
    """Run a command in ``folder``, with this Python's programs in its ``PATH``; return seconds and standard output.

    Raises:
        SystemExit: the command failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    start = time.perf_counter()
    process = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path} | variables, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)[:80]} failed:\n{process.stderr}")
    return seconds, process.stdout


def measure_in_subprocess(program: str, *arguments: str) -> Any:
    """Run a benchmark in a new process; return the JSON value in the last line of its output."""
    _, output = run_command([sys.executable, program, *arguments])
    return json.loads(output.splitlines()[-1])
