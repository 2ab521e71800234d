"""Files of the trained model: weights in ``captioner.weights.h5``, parameters and sizes in ``config.json``.

``summary.txt`` is for readers: every layer with its output shape and its number of parameters.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import keras

from captioner.common.errors import UserError, first_line
from captioner.common.writing import save_weights
from captioner.model.config import ModelConfig
from captioner.model.network import Captioner

WEIGHTS_FILE = "captioner.weights.h5"
CONFIG_FILE = "config.json"
SUMMARY_FILE = "summary.txt"
_LINE_LENGTH = 88  # characters; Keras's default in a wide terminal


def save_model(model: Captioner, settings: ModelConfig, positions: int, channels: int, folder: Path) -> None:
    """Write weights, config and summary of ``model``. Equal weights give equal bytes.

    The features of an image are ``positions`` (cells of the grid) x ``channels``. The weights are first copied to a new
    model: for a compiled model, Keras would also write the optimizer's variables.

    Raises:
        OSError: the disk is full.
    """
    sizes = {"vocab_size": model.vocab_size, "positions": positions, "channels": channels}
    copy = Captioner(settings, model.vocab_size)
    copy.build_for(positions, channels)
    copy.set_weights(model.get_weights())
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(copy, folder / WEIGHTS_FILE)
    text = json.dumps({"model": settings.model_dump(), **sizes}, indent=2, sort_keys=True)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / SUMMARY_FILE).write_text(_summarize(copy, positions, channels), encoding="utf-8")


def _summarize(model: Captioner, positions: int, channels: int) -> str:
    """Return Keras's table of the layers, with the shapes for one token of one caption of one image.

    Keras knows the output shapes of a subclassed model only if its layers were called with symbolic tensors.
    """
    hidden = model.call(
        {
            "features": keras.Input(batch_shape=(1, positions, channels), dtype="float16"),
            "input_ids": keras.Input(batch_shape=(1, 1, 1), dtype="int32"),
            "token_positions": keras.Input(batch_shape=(1, 1), dtype="int32"),
        }
    )
    if model.output_layer is not None:
        model.output_layer(hidden)
    lines = [f"Shapes for one image of {positions} x {channels} features and one token of its caption."]
    if model.settings.tie_embeddings:
        biases = f"{model.vocab_size:,} biases"
        lines.append(f"The output layer has no row: it uses the embedding's matrix. Its {biases} are in the total.")
    # Keras takes the table's width from COLUMNS and its line characters from the encoding of the standard output; a
    # hashed file must depend on neither.
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_LINE_LENGTH)
    try:
        with redirect_stdout(io.StringIO()):
            model.summary(line_length=_LINE_LENGTH, print_fn=lines.append)
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"


def load_model(folder: Path) -> tuple[Captioner, dict[str, Any]]:
    """Return the model that `save_model` wrote, and its sizes: ``vocab_size``, ``positions``, ``channels``.

    Raises:
        UserError: a file of the model is missing or damaged, or the files do not belong together.
    """
    try:
        sizes = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        model = Captioner(ModelConfig.model_validate(sizes.pop("model")), sizes["vocab_size"])
        model.build_for(sizes["positions"], sizes["channels"])
        model.load_weights(folder / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder}: there is no trained model here; `dvc repro` trains one") from None
    except (KeyError, ValueError, OSError) as error:
        reason = first_line(error)
        raise UserError(
            f"{folder}: the model's files are damaged or do not belong together ({reason}); run `dvc repro -f train`"
        ) from None
    return model, sizes
