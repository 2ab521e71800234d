"""The OmegaConf resolver ``watched``, registered for every program that composes conf/, including DVC.

DVC resolves a stage's dependencies relative to the current folder. In a copy of the repository (`dvc exp run --temp`,
the queue) a relative path to a folder outside the repository would be wrong, so ``data.watch`` holds an absolute path.
Symbolic links in it are kept, so that it can be the same on every machine.
"""

import os
from pathlib import Path

from omegaconf import OmegaConf

from captioner.common.paths import watched_path
from captioner.data.config import is_weights_file

# In a copy, DVC_ROOT is the repository that the user works in.
REPOSITORY = Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[2]).resolve()


def watched(value: str | None, otherwise: str) -> str:
    """Return the path of a user's file or folder as DVC hashes it; ``otherwise`` if ``value`` is not a path.

    It is absolute, or ``remote://NAME/PATH`` with a remote in DVC's configuration.
    """
    if value is None or not is_weights_file(value):
        return otherwise
    return watched_path(value, REPOSITORY)


OmegaConf.register_new_resolver("watched", watched, replace=True)
