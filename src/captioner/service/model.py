"""The model that MLflow loads and serves: `mlflow.pyfunc` calls `_load_pyfunc` with the files that `pack` wrote."""

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

from captioner import config
from captioner.config import UserError
from captioner.data.pictures import png_bytes
from captioner.photos import PhotoCaptioner
from captioner.service.pictures import MAX_PICTURES, read_picture

BATCH = 16  # pictures at once; more are several batches
SETTINGS, EXTRACTOR, NETWORK, VOCABULARY = "settings.json", "extractor.weights.h5", "captioner", "vocabulary.txt"


class RequestError(MlflowException):
    """What is wrong with a request; a server answers with status 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)

    def serialize_as_json(self) -> str:
        """What the client reads. MLflow would send the whole request back with it."""
        return json.dumps({"error_code": self.error_code, "message": str(self)})


class ServedCaptioner:
    """Pictures in, captions out.

    Args:
        folder: with the network, the vocabulary, the CNN's weights, and the settings of CNN and decoding.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        extractor = config.Extractor.model_validate({**settings["extractor"], "weights": str(folder / EXTRACTOR)})
        decode = config.Decode.model_validate(settings["decode"])
        self._seed = settings["seed"]
        self._captioner = PhotoCaptioner(
            folder / NETWORK, folder / VOCABULARY, extractor, decode, settings["max_length"]
        )
        # The server answers each request in a thread of its own.
        self._alone = Lock()
        # The first answers need not wait for what is compiled now.
        for count in (1, BATCH):
            self._caption([png_bytes(Image.new("RGB", (8, 8), "grey"))] * count)

    def predict(self, pictures: Any, params: Any = None) -> list[dict[str, Any]]:
        """Caption, score, tokens and attention of each picture.

        Args:
            pictures: a DataFrame with a picture a row, in its first column; see `read_picture`.
            params: not used; MLflow passes them.

        Raises:
            RequestError: a picture is none, or too large, or there are too many, or they take longer to read than the
                server's limit for a request: nobody waits for the captions then.
        """
        values = list(pictures.iloc[:, 0])
        if not 1 <= len(values) <= MAX_PICTURES:
            raise RequestError(f"send 1 to {MAX_PICTURES} pictures at a time, not {len(values)}")
        contents = []
        until = time.monotonic() + MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()
        for number, value in enumerate(values):
            try:
                contents.append(read_picture(value))
            except UserError as error:
                raise RequestError(f"picture {number}: {error}") from None
            if time.monotonic() > until:
                raise RequestError(f"pictures 0 to {number} took too long to read: send fewer, or smaller ones")
        return self._caption(contents)

    def _caption(self, contents: list[bytes]) -> list[dict[str, Any]]:
        try:
            with self._alone:
                captions = self._captioner.captions_of(contents, [(self._seed, 0)], BATCH if len(contents) > 1 else 1)
        except UserError:  # some damage stops tensorflow's reader alone
            raise RequestError("a picture is damaged: send it in another format") from None
        return [
            {
                "caption": caption.text,
                "score": caption.score,
                "tokens": caption.words,
                "attention": caption.attention_TxP[: len(caption.words)].astype(float).round(6).tolist(),
            }
            for (caption,) in captions
        ]


def _load_pyfunc(folder: str) -> ServedCaptioner:
    return ServedCaptioner(Path(folder))
