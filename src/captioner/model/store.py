"""The trained model as plain files: its shape in ``config.json``, its weights in ``captioner.weights.h5``.

``summary.txt`` beside them is for people: every layer, with its shape and its number of parameters.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import keras

from captioner import config
from captioner.config import UserError
from captioner.disk import save_weights
from captioner.model.network import Captioner

WEIGHTS = "captioner.weights.h5"
CONFIG = "config.json"
SUMMARY = "summary.txt"
_LINE = 88  # characters: what keras takes where the terminal is wide enough


def write_model(model: Captioner, settings: config.Model, positions: int, channels: int, folder: Path) -> None:
    """Writes weights, shape and summary of ``model`` so that equal weights give equal bytes.

    They are copied to a new model first: a compiled one would carry its optimizer into the file.
    """
    shape = {"vocab_size": model.vocab_size, "positions": positions, "channels": channels}
    copy = Captioner(settings, model.vocab_size)
    copy.build_for(positions, channels)
    copy.set_weights(model.get_weights())
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(copy, folder / WEIGHTS)
    text = json.dumps({"model": settings.model_dump(), **shape}, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    (folder / SUMMARY).write_text(_summary(copy, positions, channels), encoding="utf-8")


def _summary(model: Captioner, positions: int, channels: int) -> str:
    """Keras's table of the layers, with the shapes of one word of one picture's caption.

    Keras knows the shapes of a model with a ``call`` of its own only where the layers saw symbolic tensors.
    """
    seen = model.call(
        {
            "features": keras.Input(batch_shape=(1, positions, channels), dtype="float16"),
            "inputs": keras.Input(batch_shape=(1, 1, 1), dtype="int32"),
            "where": keras.Input(batch_shape=(1, 1), dtype="int32"),
        }
    )
    if model.output_layer is not None:
        model.output_layer(seen)
    lines = [f"Shapes for one picture of {positions} x {channels} features and one word of its caption."]
    if model.settings.tie_embeddings:
        tied = f"The output is tied to the embedding: of its own it has {model.vocab_size:,} biases, part of the total."
        lines.append(tied)
    # The table's width and lines are taken from the terminal, and a hashed file must not depend on one.
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_LINE)
    try:
        with redirect_stdout(io.StringIO()):
            model.summary(line_length=_LINE, print_fn=lines.append)
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"


def read_model(folder: Path) -> tuple[Captioner, dict[str, Any]]:
    """The model that `write_model` wrote, and its shape: ``vocab_size``, ``positions``, ``channels``.

    Raises:
        UserError: there is no trained model, or its files do not belong together.
    """
    try:
        shape = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = Captioner(config.Model.model_validate(shape.pop("model")), shape["vocab_size"])
        model.build_for(shape["positions"], shape["channels"])
        model.load_weights(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder}: there is no trained model here; `dvc repro` trains one") from None
    except (KeyError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}: the model's files do not belong together ({reason}); `dvc repro -f train`"
        ) from None
    return model, shape
