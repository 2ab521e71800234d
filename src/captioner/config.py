"""The schema of ``params.yaml``: every key, its type, its range, and what goes together.

DVC composes ``conf/`` without this package, so types and keys are checked here, when ``params.yaml`` is read.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Split = Literal["train", "val", "test"]
Share = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1)]

SPECIAL_TOKENS = ("<pad>", "<unk>", "<start>", "<end>")
PAD, UNKNOWN, START, END = range(len(SPECIAL_TOKENS))


class UserError(Exception):
    """Something the user can mend. Its text says what, where, and what to do; it is shown without a traceback."""

    def __init__(self, text: str) -> None:
        # Names in it are other people's: with line breaks, with what moves a terminal's cursor, or no text at all.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Around a whole program: what the user can mend, and Ctrl-C, end it with one line and status 1."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {UserError(_explain_os(error))}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _explain_os(error: OSError) -> str:
    """What befell a file, and what to do about it."""
    text = " ".join(str(error).split())[:300]
    where = f"{error.filename}: " if error.filename else ""
    told = f"{where}{error.strerror or text}"
    # numpy and TFDS know what happened, and say it without the number.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or re.search(r"No space left|\d+ requested and \d+ written", text):
        full = f"{where}{error.strerror or os.strerror(errno.ENOSPC)}"
        return f"{full}: free some space, and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{told}: make it readable and writable, and run the same command again"
    return told


class Section(BaseModel):
    """A part of ``params.yaml``: unknown keys and wrong types are errors, and nothing changes it afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Extractor(Section):
    """The frozen CNN."""

    name: str
    weights: str | None
    batch_size: Width
    watch: str


class Data(Section):
    """Which pictures and captions, and what turns the pictures into features."""

    name: Literal["shapes", "coco", "karpathy"]
    data_dir: str | None
    path: str | None
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    limit: Annotated[int, Field(ge=1)] | None
    on_bad_image: Literal["error", "skip"] = "error"  # runs were recorded before there was a choice
    watch: str
    extractor: Extractor

    @model_validator(mode="after")
    def _goes_together(self) -> Data:
        if (self.name == "karpathy") != (self.path is not None):
            raise ValueError(
                "data.path is missing: give your folder with -S data.path=FOLDER"
                if self.path is None
                else f"data.path is only for data=karpathy, and data is {self.name}"
            )
        if self.on_bad_image == "skip" and self.name != "karpathy":
            raise ValueError(f"data.on_bad_image=skip is only for data=karpathy, and data is {self.name}")
        weights = self.extractor.weights
        is_file = weights not in (None, "imagenet", "builtin")
        for key, value, watch in (
            ("data.path", self.path, self.watch),
            ("data.extractor.weights", weights if is_file else None, self.extractor.watch),
        ):
            if value is not None and str(in_repository(value)) != watch:
                raise ValueError(
                    f"{key} is {value}, but DVC watches {watch}: set {key} with `dvc exp run -S`, "
                    "or write its absolute path at both places"
                )
        if (weights == "builtin") != (self.extractor.name == "shapes_cnn") and weights in ("builtin", "imagenet"):
            raise ValueError(
                f"data.extractor.weights is {weights}, which there is none of for {self.extractor.name}; "
                "allowed: builtin (for shapes_cnn), imagenet (for keras.applications), a file, null"
            )
        return self


class Text(Section):
    """The vocabulary."""

    vocab_size: Annotated[int, Field(gt=len(SPECIAL_TOKENS))]
    max_length: Width


class Model(Section):
    """The captioning network."""

    attention: Literal["luong", "bahdanau"]
    attention_dim: Width
    embedding_dim: Width
    units: Width
    tie_embeddings: bool
    initial_state: Literal["image", "zeros"]
    dropout: Share


class Train(Section):
    """How the network is fitted."""

    backend: Literal["tensorflow", "jax"]
    deterministic: bool
    epochs: Width
    batch_size: Width
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)] | None
    label_smoothing: Share
    word_dropout: Share
    patience: Width | None


class Decode(Section):
    """How captions are written."""

    split: Split
    strategy: Literal["greedy", "top_k", "beam"]
    beam_size: Width
    length_penalty: Annotated[float, Field(ge=0)]
    top_k: Width
    temperature: Annotated[float, Field(gt=0)]
    min_length: Annotated[int, Field(ge=0)]
    batch_size: Width


class Score(Section):
    """What is drawn beside the scores, and which score is compared by."""

    figure_pictures: Width
    objective: Literal["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "val_loss", "val_loss_word"]


class Params(Section):
    """All of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: Data
    text: Text
    model: Model
    train: Train
    decode: Decode
    score: Score

    @model_validator(mode="after")
    def _goes_together(self) -> Params:
        words = self.text.vocab_size - len(SPECIAL_TOKENS)
        if self.decode.beam_size > words:
            raise ValueError(
                f"decode.beam_size is {self.decode.beam_size}, more than text.vocab_size leaves words: {words}"
            )
        if self.decode.min_length > self.text.max_length:
            raise ValueError(
                f"decode.min_length is {self.decode.min_length}, more than text.max_length: {self.text.max_length}"
            )
        return self


def repository() -> Path:
    """The repository that the user works in, also when this stage runs in a copy of it (DVC sets ``DVC_ROOT``)."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def in_repository(path: str) -> Path:
    """The absolute form of a path that a user typed: a relative one starts at the repository."""
    return (repository() / Path(path).expanduser()).resolve()


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks the workspace's parameters.

    Raises:
        UserError: there is no such file, it is no YAML, or see `check_params`.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise UserError(f"there is no {path} in {Path.cwd()}: go to the repository's folder") from None
    except (yaml.YAMLError, ValueError, RecursionError, OmegaConfBaseException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # without: OmegaConf's word for a file that holds one value
            raise
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    return check_params(tree)


def check_params(tree: dict[str, Any]) -> Params:
    """Checks a plain tree of parameters.

    Raises:
        UserError: one line that names the key, what is allowed, and the nearest valid name.
    """
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise UserError("params.yaml: " + "; ".join(_explain(e) for e in error.errors())) from None
    except UnicodeEncodeError:  # pydantic, on a text that it would name in an error
        raise UserError("params.yaml: half a character (a lone surrogate) is in a text: write it whole") from None


def _explain(error: Any) -> str:
    """One of pydantic's findings as a user would say it."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return explain_unknown(key)
    if error["type"] == "missing":
        return f"{key} is missing"
    message = re.sub(r"^Value error, ", "", error["msg"])
    if error["type"] == "value_error":
        return message
    value = error["input"]
    near = difflib.get_close_matches(str(value), re.findall(r"'(\w+)'", message), n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"{key or 'the file'} is {value!r}; {message[0].lower()}{message[1:]}{hint}"


def explain_unknown(key: str) -> str:
    """One line about a key that is not in the schema: the nearest that is, or all beside it."""
    section: Any = Params
    for part in key.split("."):
        known = getattr(section, "model_fields", {})
        if part not in known:
            break
        section = known[part].annotation
    near = difflib.get_close_matches(part, known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else f"; known here: {', '.join(known) or 'none'}"
    return f"unknown key {key}{hint}"
