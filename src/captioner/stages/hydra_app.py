"""The decorator that makes a Hydra app of a stage: ``params.yaml`` in, one-line errors out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from captioner.common.errors import errors_in_one_line
from captioner.common.paths import Workspace
from captioner.common.unfinished_work import remove_committed_work
from captioner.config.params import Params, check_params, read_params

# Hydra writes no files: DVC keeps the outs and MLflow the record.
QUIET_HYDRA = ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]


def stage(work: Callable[[Params], None]) -> Callable[[], None]:
    """Return a program that calls ``work`` with the checked parameters of ``params.yaml``.

    All sections are checked, also those that the stage does not use: a mistake in a later section ends the first stage
    before any work. The check cannot change a result, so `captioner.config` is in no stage's deps.
    """

    def job(tree: DictConfig) -> None:
        with errors_in_one_line():
            remove_committed_work(Workspace())
            work(check_params(OmegaConf.to_container(tree, resolve=True)))

    def main() -> None:
        with errors_in_one_line():
            read_params()  # Hydra would show a traceback for a file that it cannot read
        sys.argv[1:1] = ["hydra.run.dir=.", *QUIET_HYDRA]
        hydra.main(version_base="1.3", config_path=str(Path.cwd()), config_name="params")(job)()

    return main
