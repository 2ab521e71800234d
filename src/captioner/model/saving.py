"""Files of the trained model: weights in ``captioner.weights.h5``, parameters, sizes and origin in ``config.json``.

``summary.txt`` is for readers: every layer with its output shape and its number of parameters.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import keras

from captioner.common.errors import UserError, first_line
from captioner.common.paths import MODEL_CONFIG, MODEL_WEIGHTS
from captioner.common.writing import save_weights
from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.text.vocabulary import Vocabulary

SUMMARY_FILE = "summary.txt"
_LINE_LENGTH = 88  # characters; Keras's default in a wide terminal


@dataclass(frozen=True)
class ModelInputs:
    """The features and the vocabulary that a model was trained with.

    Attributes:
        positions: the number of cells of the CNN's grid.
        channels: the number of features of each cell.
        extractor: ``name`` and ``weights_hash`` of the CNN.
        vocabulary_hash: the sha256 of ``vocabulary.txt``.
    """

    positions: int
    channels: int
    extractor: dict[str, str]
    vocabulary_hash: str

    def check(self, extractor: dict[str, str], vocabulary: Vocabulary) -> None:
        """Check that the model can be used with a CNN and a vocabulary.

        Raises:
            UserError: the model was trained with others.
        """
        if extractor != self.extractor:
            given, trained = (f"{cnn['name']} {cnn['weights_hash'][:12]}" for cnn in (extractor, self.extractor))
            raise UserError(
                f"the CNN is {given} (name, hash of its weights), but the model was trained with {trained}: "
                "params.yaml has changed since; run `dvc repro`"
            )
        if vocabulary.hash != self.vocabulary_hash:
            raise UserError(
                f"the vocabulary is {vocabulary.hash[:12]} ({len(vocabulary)} tokens), but the model was trained with "
                f"{self.vocabulary_hash[:12]}: params.yaml has changed since; run `dvc repro`"
            )


def save_model(model: Captioner, settings: ModelConfig, inputs: ModelInputs, folder: Path) -> None:
    """Write weights, config and summary of ``model``. Equal weights give equal bytes.

    The weights are first copied to a new model: for a compiled model, Keras would also write the optimizer's variables.

    Raises:
        OSError: the disk is full.
    """
    copy = Captioner(settings, model.vocab_size)
    copy.build_for(inputs.positions, inputs.channels)
    copy.set_weights(model.get_weights())
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(copy, folder / MODEL_WEIGHTS)
    config = {"model": settings.model_dump(), "vocab_size": model.vocab_size, **asdict(inputs)}
    (folder / MODEL_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / SUMMARY_FILE).write_text(_summarize(copy, inputs.positions, inputs.channels), encoding="utf-8")


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


def load_model(folder: Path) -> tuple[Captioner, ModelInputs]:
    """Return the model that `save_model` wrote, and its inputs.

    Raises:
        UserError: a file of the model is missing or damaged, or the files do not belong together, or the model is of
            an older version, which did not record the inputs.
    """
    try:
        config = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
        inputs = ModelInputs(**{field.name: config[field.name] for field in fields(ModelInputs)})
        model = Captioner(ModelConfig.model_validate(config["model"]), config["vocab_size"])
        model.build_for(inputs.positions, inputs.channels)
        model.load_weights(folder / MODEL_WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or folder}: there is no trained model here; `dvc repro` trains one") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{folder}: the model's files are damaged, of an older version, or do not belong together "
            f"({first_line(error)}); run `dvc repro -f train`"
        ) from None
    return model, inputs
