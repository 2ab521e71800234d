"""The composition of ``conf/`` into ``params.yaml``, with Hydra overrides, as `dvc exp run -S` does it."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from dvc.utils.hydra import compose_and_dump
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import check_params, explain_unknown_key


def compose(overrides: list[str], root: Path) -> str:
    """Return the text of ``params.yaml``: ``root/conf`` composed with Hydra overrides, and checked.

    Raises:
        UserError: the overrides do not fit ``conf/``, or the composition does not fit the schema.
    """
    conf = str((root / "conf").resolve())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        try:
            compose_and_dump(file, conf, None, "config", conf, overrides)
        # ValueError: an override without a key, or a file that is not text
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
            raise UserError(explain_hydra_error(error)) from None
        text = file.read_text(encoding="utf-8")
    check_params(yaml.safe_load(text))
    return text


def write_params(overrides: list[str]) -> None:
    """Write the workspace's ``params.yaml`` as the composition of its ``conf/``.

    Raises:
        UserError: as `compose`.
    """
    Workspace().params.write_text(compose(overrides, Path()), encoding="utf-8")


def explain_hydra_error(error: Exception) -> str:
    """Return Hydra's error about an override as one line."""
    unknown = re.search(r"Could not override '([\w.]+)'", str(error))
    return explain_unknown_key(unknown[1]) if unknown else " ".join(str(error).split())
