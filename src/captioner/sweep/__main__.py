"""Command line of sweeps: ``python -m captioner.sweep -m text.vocab_size=1000,2000 model.attention_dim=128,256``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.errors import HydraException

from captioner.common.errors import UserError, errors_in_one_line
from captioner.config.compose import explain_hydra_error
from captioner.stages.hydra_app import QUIET_HYDRA
from captioner.sweep.job import job
from captioner.sweep.launch import SWEEPS, Sweep, discard_sweep, start_sweep
from captioner.sweep.results import finish_sweep
from captioner.tracking.mlflow_store import MlflowStore

MULTIRUN_FLAGS = {"-m", "--multirun"}
HYDRA_SETTINGS = [f"hydra.sweep.dir={SWEEPS / 'hydra'}", "hydra.sweep.subdir=${hydra.job.num}", *QUIET_HYDRA]


def main(arguments: list[str] | None = None) -> None:
    """Run all jobs and print a comparison of their scores. The exit status is 1 if a job failed.

    Args:
        arguments: flags and overrides of Hydra; those of the command line unless given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.argv[1:] = arguments  # Hydra reads them from there
    conf = str(Path("conf").resolve())
    # Hydra searches sys.path for packages named hydra_plugins: conf/ holds one with the resolver.
    sys.path.insert(0, conf)
    application = hydra.main(version_base="1.3", config_path=conf, config_name="config")(job)
    with errors_in_one_line():
        if not any(argument.startswith("-") for argument in arguments):
            raise UserError("a sweep needs -m: python -m captioner.sweep -m text.vocab_size=1000,2000")
        if not MULTIRUN_FLAGS & set(arguments):  # --help, --cfg and the like
            application()
            return
        with start_sweep([argument for argument in arguments if not argument.startswith("-")]) as sweep:
            sys.argv += [*HYDRA_SETTINGS, f"hydra.job.name={sweep.name}"]
            all_ended = _launch_jobs(application, sweep)
            sys.exit(0 if finish_sweep(sweep, all_ended) else 1)


def _launch_jobs(application: Callable[[], None], sweep: Sweep) -> bool:
    """Let Hydra launch the jobs and return whether all of them ended."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing a traceback
    try:
        application()
    except HydraException as error:
        discard_sweep(sweep)
        raise UserError(explain_hydra_error(error)) from None
    except KeyboardInterrupt:
        if any("submitit_slurm" in argument for argument in sys.argv):
            subprocess.run(["scancel", f"--name={sweep.name}"], check=False)
        MlflowStore().finish(sweep.parent_run_id, "KILLED")
        sys.exit("stopped: run the same command again to complete the sweep")
    except Exception as error:
        # Each launcher raises errors of different types for a job that was killed or ran out of time or memory.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"error: a job did not end: {reason}; run the same command again to complete the sweep")
        return False
    return True


if __name__ == "__main__":
    main()
