"""The five stages: each reads ``params.yaml`` as a Hydra app, calls its room, and writes its outs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from captioner.config import Params, check_params, errors_in_one_line, read_params

# Hydra writes no folders and no log of its own: DVC keeps the outs, MLflow the record.
HYDRA_SETTINGS = ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]

PREPARED = Path("data/prepared")
CAPTIONS = PREPARED / "captions"
FEATURES = PREPARED / "features"
TOKENS = Path("data/tokens")
MODEL = Path("models/captioner")
REPORTS = Path("reports")
RECORDED = Path("mlruns/recorded")
# Not an out: DVC removes those before it runs a stage.
CHECKPOINTS = Path("data/checkpoints")


def stage(work: Callable[[Params], None]) -> Callable[[], None]:
    """Makes a program of ``work``: it gets the checked parameters, and its errors become one line and status 1."""

    def job(tree: DictConfig) -> None:
        with errors_in_one_line():
            work(check_params(OmegaConf.to_container(tree, resolve=True)))

    def main() -> None:
        with errors_in_one_line():
            read_params()  # of a file that it cannot read, Hydra would show a trace
        sys.argv[1:1] = HYDRA_SETTINGS
        hydra.main(version_base="1.3", config_path=str(Path.cwd()), config_name="params")(job)()

    return main
