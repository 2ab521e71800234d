"""Measure what DVC and MLflow add to a training; the baseline is the training loop alone.

    PYTHONPATH=src python benchmarks/tracking.py

Trains on the workspace's data (`dvc repro` first) with a new MLflow database, so that everything is logged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import run_command
from result import compare, print_results

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.config.params import Params, read_params


def main() -> None:
    """Print the result, or with ``--untracked`` only train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--untracked", type=Path, metavar="FOLDER", help="train without DVC and MLflow into FOLDER")
    folder_to_train_in = parser.parse_args().untracked
    if folder_to_train_in:
        train_untracked(read_params(), folder_to_train_in, lambda *_: None)
        return
    with TemporaryDirectory() as folder:
        database = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        untracked, _ = run_command([sys.executable, __file__, "--untracked", folder], **database)
        command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "train"]
        tracked, _ = run_command(command, **database)
    baseline = "training loop alone", untracked
    print_results([compare("training with DVC and MLflow", "s", tracked, baseline, 1.05, at_most=True)])


def train_untracked(params: Params, folder: Path, on_epoch_end: Callable[..., None]) -> None:
    """Train on the workspace's data as the stage does, without DVC and MLflow, and write the model to ``folder``."""
    use_backend(params.train.backend, params.train.deterministic)
    from captioner.score.validation import make_scorer
    from captioner.train.trainer import train_model

    (folder / "data").symlink_to(Path("data").resolve())
    workspace = Workspace(folder)
    scorer = make_scorer(params.train.monitor, params.text.max_length, workspace)
    train_model(params.seed, params.model, params.train, workspace, folder / "checkpoints", {}, on_epoch_end, scorer)


if __name__ == "__main__":
    main()
