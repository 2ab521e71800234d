"""The sweep: ``python -m captioner.sweep -m text.vocab_size=1000,2000 model.attention_dim=128,256``."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra

from captioner.config import UserError
from captioner.sweep.points import point
from captioner.sweep.results import finish
from captioner.sweep.start import SWEEPS, start

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
    sys.argv += HYDRA_SETTINGS
    try:
        if not {"-m", "--multirun"} & set(given):
            if not any(word.startswith("-") for word in given):
                raise UserError("a sweep needs -m: python -m captioner.sweep -m text.vocab_size=1000,2000")
            application()
            return
        sweep = start([word for word in given if not word.startswith("-")])
        application()
        sys.exit(finish(sweep))
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: the same command goes on with what is missing")


if __name__ == "__main__":
    main()
