"""Writes ``params.yaml`` as the composition of ``conf/``, as `dvc exp run -S` does: `python -m captioner.compose`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from dvc.utils.hydra import compose_and_dump
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from captioner.config import UserError, check_params, errors_in_one_line, explain_unknown


def compose(overrides: list[str], root: Path) -> str:
    """The text of ``params.yaml``: ``root/conf`` composed with Hydra overrides, checked.

    Raises:
        UserError: the overrides do not fit ``conf/``, or the composition does not fit the schema.
    """
    conf = str((root / "conf").resolve())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        try:
            compose_and_dump(file, conf, None, "config", conf, overrides)
        # ValueError: an override without a key, or a file that is no text
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
            raise UserError(in_our_words(error)) from None
        text = file.read_text(encoding="utf-8")
    check_params(yaml.safe_load(text))
    return text


def in_our_words(error: Exception) -> str:
    """Hydra's objection to an override, in one line."""
    unknown = re.search(r"Could not override '([\w.]+)'", str(error))
    return explain_unknown(unknown[1]) if unknown else " ".join(str(error).split())


if __name__ == "__main__":
    with errors_in_one_line():
        Path("params.yaml").write_text(compose(sys.argv[1:], Path()), encoding="utf-8")
