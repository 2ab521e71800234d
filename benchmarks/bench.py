"""All benchmarks, one after another, as one table: `make bench`.

    PYTHONPATH=src python benchmarks/bench.py [NAME ...]

Each runs in a process of its own, and what it is compared with is measured in the same run. Writes
``reports/benchmarks.json`` and ``.md``. The workspace's pipeline must have run (`make repro`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import rows

from captioner.track.record import environment

NAMES = ("counting", "training", "preparing", "decoding", "scoring", "starting", "growing", "tracking")


def main() -> None:
    """Prints and writes the table; the exit status is 1 where a benchmark could not be run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"{', '.join(unknown)}: there are {', '.join(NAMES)}")
    found, failed = [], []
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
        if done.returncode:
            failed.append(name)
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        found += rows.read(done.stdout)
    machine = environment()
    about = {"date": date.today().isoformat(), "machine": f"{machine['cpu']}, {machine['cores']} cores"}
    about |= {"gpu": machine["gpu"] or "none"}
    print(rows.write(found, Path("reports"), about))
    if failed:
        sys.exit(f"could not be run: {', '.join(failed)}")


if __name__ == "__main__":
    main()
