"""The sweep: ``python -m captioner.sweep -m text.vocab_size=1000,2000 model.attention_dim=128,256``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.errors import HydraException

from captioner.compose import in_our_words
from captioner.config import UserError, errors_in_one_line
from captioner.sweep.points import point
from captioner.sweep.results import finish
from captioner.sweep.start import SWEEPS, Sweep, discard, started
from captioner.track.store import Tracker

HYDRA_SETTINGS = [
    f"hydra.sweep.dir={SWEEPS / 'hydra'}",
    "hydra.sweep.subdir=${hydra.job.num}",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
]


def main() -> None:
    """Runs every point, then tells how they compare. The exit status is 1 where a point failed."""
    given = sys.argv[1:]
    # Hydra looks for plugins in packages of this name: our resolver is one.
    sys.path.insert(0, str(Path("conf").resolve()))
    application = hydra.main(version_base="1.3", config_path=str(Path("conf").resolve()), config_name="config")(point)
    with errors_in_one_line():
        if not any(word.startswith("-") for word in given):
            raise UserError("a sweep needs -m: python -m captioner.sweep -m text.vocab_size=1000,2000")
        if not {"-m", "--multirun"} & set(given):  # --help, --cfg and their like
            application()
            return
        with started([word for word in given if not word.startswith("-")]) as sweep:
            sys.argv += [*HYDRA_SETTINGS, f"hydra.job.name={sweep.name}"]
            complete = _launch(application, sweep)
            sys.exit(0 if finish(sweep, complete) else 1)


def _launch(application: Callable[[], None], sweep: Sweep) -> bool:
    """Lets Hydra launch the points; whether all of them came to an end."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raised, instead of printed with its trace
    try:
        application()
    except HydraException as error:
        discard(sweep)
        raise UserError(in_our_words(error)) from None
    except KeyboardInterrupt:
        if any("submitit_slurm" in word for word in sys.argv):
            subprocess.run(["scancel", f"--name={sweep.name}"], check=False)
        Tracker().finish(sweep.parent, "KILLED")
        sys.exit("stopped: the same command goes on with what is missing")
    except Exception as error:
        # Launchers raise what befell a job (killed, out of time, out of memory), each an error of its own.
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"error: a job did not end: {told}; the same command goes on with what is missing")
        return False
    return True


if __name__ == "__main__":
    main()
