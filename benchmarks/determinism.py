"""Measure the cost of determinism: seconds per epoch with train.deterministic on and off, on both backends.

    PYTHONPATH=src python benchmarks/determinism.py

Trains on the workspace's data (`dvc repro` first). Each training is a new process; the settings alternate. The fastest
epoch of each setting counts: the first one compiles, and other work on the machine only adds time.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import measure_in_subprocess
from tracking import train_untracked

from captioner.common.paths import Workspace
from captioner.config.params import check_params, read_params

BACKENDS = ("tensorflow", "jax")


def main() -> None:
    """Print a table, or with ``--measure`` the fastest epoch of one setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4, help="per process")
    parser.add_argument("--processes", type=int, default=2, help="per setting")
    parser.add_argument("--measure", nargs=2, metavar=("BACKEND", "DETERMINISTIC"))
    options = parser.parse_args()
    if options.measure:
        backend, deterministic = options.measure
        print(measure_fastest_epoch(backend, deterministic == "true", options.epochs))
        return
    seconds: dict[tuple[str, str], float] = {}
    for _ in range(options.processes):
        for backend in BACKENDS:
            for deterministic in ("true", "false"):
                key = backend, deterministic
                fastest = measure_in_subprocess(__file__, "--epochs", str(options.epochs), "--measure", *key)
                seconds[key] = min(seconds.get(key, float("inf")), fastest)
    print("backend      on [s]   off [s]  on / off")
    for backend in BACKENDS:
        on, off = seconds[backend, "true"], seconds[backend, "false"]
        print(f"{backend:10} {on:8.2f} {off:9.2f} {on / off:9.3f}")


def measure_fastest_epoch(backend: str, deterministic: bool, epochs: int) -> float:
    """Return the seconds of the fastest epoch, without validation and checkpoints."""
    from captioner.text.tokenized_captions import TokenizedCaptions

    tree = read_params().model_dump()
    tree["train"] |= {"backend": backend, "deterministic": deterministic, "epochs": epochs, "patience": None}
    captions = len(TokenizedCaptions.read(Workspace().tokens / "train").lengths_M)
    captions_per_second: list[float] = []
    with TemporaryDirectory() as folder:
        train_untracked(check_params(tree), Path(folder), lambda *epoch: captions_per_second.append(epoch[2]))
    return captions / max(captions_per_second)


if __name__ == "__main__":
    main()
