"""The model that MLflow loads and serves: `mlflow.pyfunc` calls `_load_pyfunc` with the folder that `pack` wrote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Lock
from typing import Any

from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from PIL import Image

from captioner.common.errors import UserError
from captioner.data.config import ExtractorConfig
from captioner.data.images import encode_png
from captioner.decode.config import DecodeConfig
from captioner.decode.predictor import Predictor
from captioner.serving.inputs import MAX_IMAGES, read_input_image

BATCH_SIZE = 16  # images
SETTINGS_FILE, EXTRACTOR_FILE = "settings.json", "extractor.weights.h5"
# As the artifacts of a run are named.
MODEL_FOLDER, VOCABULARY_FILE = "captioner", "vocabulary.txt"


class RequestError(MlflowException):
    """An error in a request; the server answers with status 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)

    def serialize_as_json(self) -> str:
        """Return the body of the answer. MLflow's own would contain the whole request."""
        return json.dumps({"error_code": self.error_code, "message": str(self)})


class ServedCaptioner:
    """A packed model: images in, captions out.

    Args:
        folder: holds the network, the vocabulary, the CNN's weights, and the settings of the CNN and the decoding.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        extractor = ExtractorConfig.model_validate({**settings["extractor"], "weights": str(folder / EXTRACTOR_FILE)})
        decode = DecodeConfig.model_validate(settings["decode"])
        self._seed = settings["seed"]
        self._predictor = Predictor(
            folder / MODEL_FOLDER, folder / VOCABULARY_FILE, extractor, decode, settings["max_length"]
        )
        # The server runs each request in its own thread.
        self._lock = Lock()
        # Compile the graphs of both batch sizes, so that the first requests do not wait for it.
        for count in (1, BATCH_SIZE):
            self._caption([encode_png(Image.new("RGB", (8, 8), "grey"))] * count)

    def predict(self, images: Any, params: Any = None) -> list[dict[str, Any]]:
        """Return caption, score, tokens and attention of each image.

        Args:
            images: a DataFrame; each row holds an image in its first column, as `read_input_image` takes it.
            params: not used; MLflow passes them.

        Raises:
            RequestError: an image is invalid or too large, there are too many images, or reading them takes longer
                than the server's time limit for a request, after which the client no longer waits.
        """
        values = list(images.iloc[:, 0])
        if not 1 <= len(values) <= MAX_IMAGES:
            raise RequestError(f"send 1 to {MAX_IMAGES} images at a time, not {len(values)}")
        contents = []
        deadline = time.monotonic() + MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()
        for number, value in enumerate(values):
            try:
                contents.append(read_input_image(value))
            except UserError as error:
                raise RequestError(f"image {number}: {error}") from None
            if time.monotonic() > deadline:
                raise RequestError(f"images 0 to {number} took too long to read: send fewer, or smaller ones")
        return self._caption(contents)

    def _caption(self, contents: list[bytes]) -> list[dict[str, Any]]:
        batch_size = BATCH_SIZE if len(contents) > 1 else 1
        try:
            with self._lock:
                features_NxPxC = self._predictor.extractor.extract_from_bytes(contents)
                predicted = self._predictor.predict(features_NxPxC, [(self._seed, 0)], batch_size)
                captions = [caption for (caption,) in predicted]
                attention = self._predictor.attend(features_NxPxC, captions)
        except UserError:  # tensorflow's reader rejects some damage that Pillow accepts
            raise RequestError("an image is damaged: send it in another format") from None
        return [
            {
                "caption": caption.text,
                "score": caption.score,
                "tokens": caption.words,
                "attention": weights_TxP.astype(float).round(6).tolist(),
            }
            for caption, weights_TxP in zip(captions, attention, strict=True)
        ]


def _load_pyfunc(folder: str) -> ServedCaptioner:
    return ServedCaptioner(Path(folder))
