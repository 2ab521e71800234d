"""What determinism costs: seconds an epoch with train.deterministic on and off, on both backends.

    PYTHONPATH=src python benchmarks/determinism.py

Trains on what the workspace holds (`dvc repro` first), each time in a process of its own, in turns, and takes the
fastest epoch of each: the first one compiles, and other work on the machine only ever adds time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

BACKENDS = ("tensorflow", "jax")


def main() -> None:
    """Prints a table, or with ``--one`` the fastest epoch of one setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4, help="in each process")
    parser.add_argument("--turns", type=int, default=2, help="processes for each setting")
    parser.add_argument("--one", nargs=2, metavar=("BACKEND", "DETERMINISTIC"))
    arguments = parser.parse_args()
    if arguments.one:
        backend, deterministic = arguments.one
        print(fastest_epoch(backend, deterministic == "true", arguments.epochs))
        return
    seconds: dict[tuple[str, str], float] = {}
    for _ in range(arguments.turns):
        for backend in BACKENDS:
            for deterministic in ("true", "false"):
                command = [sys.executable, __file__, "--epochs", str(arguments.epochs), "--one", backend, deterministic]
                printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                key = backend, deterministic
                seconds[key] = min(seconds.get(key, float("inf")), float(printed.splitlines()[-1]))
    print("backend      on [s]   off [s]  on / off")
    for backend in BACKENDS:
        on, off = seconds[backend, "true"], seconds[backend, "false"]
        print(f"{backend:10} {on:8.2f} {off:9.2f} {on / off:9.3f}")


def fastest_epoch(backend: str, deterministic: bool, epochs: int) -> float:
    """Seconds of the fastest epoch, validation and checkpoints aside."""
    from captioner.backend import use_backend
    from captioner.config import check_params, read_params

    tree = read_params().model_dump()
    tree["train"] |= {"backend": backend, "deterministic": deterministic, "epochs": epochs, "patience": None}
    use_backend(backend, deterministic)
    from captioner.model.fit import train
    from captioner.stages import FEATURES, TOKENS
    from captioner.text.captions import TokenizedCaptions

    captions = len(TokenizedCaptions.read(TOKENS / "train").lengths_M)
    speeds: list[float] = []
    with TemporaryDirectory() as folder:
        out = Path(folder)
        train(check_params(tree), FEATURES, TOKENS, out / "model", out / "kept", lambda *row: speeds.append(row[2]))
    return captions / max(speeds)


if __name__ == "__main__":
    main()
