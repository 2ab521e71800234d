"""What DVC and MLflow add to a training: seconds of the tracked stage beside those of the bare training loop.

    PYTHONPATH=src python benchmarks/tracking.py

On what the workspace holds (`dvc repro` first), with a new MLflow database, so that everything is logged.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rows import Row, give

BARE = """
import sys
from pathlib import Path
from captioner.backend import use_backend
from captioner.config import read_params
params = read_params()
use_backend(params.train.backend, params.train.deterministic)
from captioner.model.fit import train
from captioner.stages import FEATURES, TOKENS
train(params, FEATURES, TOKENS, Path(sys.argv[1]) / "model", Path(sys.argv[1]) / "kept", lambda *_: None)
"""


def main() -> None:
    """Prints the row."""
    with TemporaryDirectory() as folder:
        bare = seconds_of([sys.executable, "-c", BARE, folder], folder)
        tracked = seconds_of([sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "train"], folder)
    give([Row("a training, tracked", tracked, "s", "the bare loop", bare, tracked / bare, 1.05, at_most=True)])


def seconds_of(command: list[str], folder: str) -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
