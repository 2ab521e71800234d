"""The six sections of ``params.yaml`` together: reading, checking, and error messages.

DVC composes ``conf/`` without this package, so keys and types are checked when ``params.yaml`` is read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.common.schema import Section, Seed
from captioner.data.config import DataConfig
from captioner.decode.config import DecodeConfig
from captioner.model.config import ModelConfig
from captioner.score.config import ScoreConfig
from captioner.text.config import TextConfig
from captioner.text.vocabulary import SPECIAL_TOKENS
from captioner.train.config import TrainConfig

# Keys that follow from other keys.
DERIVED_KEYS = ("data.watch", "data.extractor.watch")
# Keys that hold a place on one machine.
LOCATION_KEYS = ("data.data_dir", "data.path")
# Keys that change neither weights nor captions nor scores.
NEUTRAL_KEYS = ("score.figure_pictures", "score.objective", "train.profile")


class Params(Section):
    """All of ``params.yaml``."""

    seed: Seed
    data: DataConfig
    text: TextConfig
    model: ModelConfig
    train: TrainConfig
    decode: DecodeConfig
    score: ScoreConfig

    @model_validator(mode="after")
    def _check_combinations(self) -> Params:
        beam_size, words = self.decode.beam_size, self.text.vocab_size - len(SPECIAL_TOKENS)
        if beam_size > words:
            raise ValueError(f"decode.beam_size is {beam_size}, more than text.vocab_size leaves words: {words}")
        min_length, max_length = self.decode.min_length, self.text.max_length
        if min_length > max_length:
            raise ValueError(f"decode.min_length is {min_length}, more than text.max_length: {max_length}")
        return self


def read_params(path: Path | None = None) -> Params:
    """Read and check ``params.yaml``, that of the workspace unless ``path`` is given.

    Raises:
        UserError: the file is missing or not YAML, or as `check_params`.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = path or Workspace().params
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise UserError(f"there is no {path} in {Path.cwd()}: go to the repository's folder") from None
    except (yaml.YAMLError, ValueError, RecursionError, OmegaConfBaseException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # OmegaConf raises one without a number on a file of one value
            raise
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return check_params(tree)


def check_params(tree: Any) -> Params:
    """Return a plain tree of parameters as `Params`.

    Raises:
        UserError: one line that names the key, the allowed values, and the nearest valid name.
    """
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise UserError("params.yaml: " + "; ".join(_explain(e) for e in error.errors())) from None
    except UnicodeEncodeError:  # raised by pydantic when it formats an error about such a text
        raise UserError("params.yaml: a text contains a lone surrogate (half a character): write it whole") from None


def explain_unknown_key(key: str) -> str:
    """Return one line about a key that the schema lacks: the nearest valid key, or all keys of that section."""
    section: Any = Params
    for part in key.split("."):
        known = getattr(section, "model_fields", {})
        if part not in known:
            break
        section = known[part].annotation
    near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else f"; known here: {', '.join(known) or 'none'}"
    return f"unknown key {key}{hint}"


def flatten(tree: dict[str, Any], prefix: str = "", separator: str = ".") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree with their full keys, such as ``model.units``."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}{separator}", separator)
        else:
            yield f"{prefix}{key}", value


def _explain(error: Any) -> str:
    """Return one of pydantic's errors as one sentence."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return explain_unknown_key(key)
    if error["type"] == "missing":
        return f"{key} is missing"
    message = re.sub(r"^Value error, ", "", error["msg"])
    if error["type"] == "value_error":
        return message
    value = error["input"]
    near = difflib.get_close_matches(str(value), re.findall(r"'(\w+)'", message), n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"{key or 'the file'} is {value!r}; {message[0].lower()}{message[1:]}{hint}"
