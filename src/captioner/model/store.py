"""The trained model as plain files: its shape in ``config.json``, its weights in ``captioner.weights.h5``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from captioner import config
from captioner.config import UserError
from captioner.model.network import Captioner

WEIGHTS = "captioner.weights.h5"
CONFIG = "config.json"


def write_model(model: Captioner, settings: config.Model, positions: int, channels: int, folder: Path) -> None:
    """Writes the weights of ``model`` so that equal weights give equal bytes.

    They are copied to a new model first: a compiled one would carry its optimizer into the file.
    """
    shape = {"vocab_size": model.vocab_size, "positions": positions, "channels": channels}
    copy = Captioner(settings, model.vocab_size)
    copy.build_for(positions, channels)
    copy.set_weights(model.get_weights())
    folder.mkdir(parents=True, exist_ok=True)
    copy.save_weights(folder / WEIGHTS)
    text = json.dumps({"model": settings.model_dump(), **shape}, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


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
