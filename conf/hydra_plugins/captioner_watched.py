"""Registers the resolver ``watched`` for everyone who composes conf/, DVC included.

DVC looks for a stage's dependencies from the folder that it stands in. In a copy of the repository
(`dvc exp run --temp`, the queue) a relative path to a folder outside would lead nowhere, so what DVC
watches is written as an absolute path.
"""

import os
from pathlib import Path

from omegaconf import OmegaConf

# In a copy, DVC_ROOT is the repository that the user works in.
REPOSITORY = Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[2]).resolve()
NOT_A_FILE = (None, "imagenet", "builtin")


def watched(value: str | None, otherwise: str) -> str:
    """The absolute path of a user's file or folder, or the file that stands for it where there is none."""
    if value in NOT_A_FILE:
        return otherwise
    return str((REPOSITORY / Path(value).expanduser()).resolve())


OmegaConf.register_new_resolver("watched", watched, replace=True)
