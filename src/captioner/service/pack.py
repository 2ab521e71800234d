"""Packs a run as an MLflow model that needs neither the repository nor the dataset."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

import captioner
from captioner.backend import use_backend
from captioner.config import Params, UserError
from captioner.data.pictures import png_bytes
from captioner.service import model
from captioner.track.store import Tracker

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

REQUIREMENTS = Path("requirements/run.txt")
CODE = Path(captioner.__file__).parent


def pack(tracker: Tracker, name: str, run_id: str, trained_id: str, params: Params) -> str:
    """Logs the run's model to MLflow as a pyfunc, and registers it: the network, the vocabulary, the CNN's weights, the
    code, and the locked requirements.

    Args:
        tracker: the store.
        name: of the model in the registry.
        run_id: the run whose decoding it is.
        trained_id: the run that holds the network; the same unless it was decoded in another way.
        params: the run's.

    Returns:
        The version.

    Raises:
        UserError: the run has no model, or its CNN cannot be had.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    with _files(tracker, trained_id, params) as folder:
        mlflow.set_tracking_uri(tracker.client.tracking_uri)
        mlflow.set_experiment(experiment_id=tracker.experiment_id)
        example = base64.b64encode(png_bytes(Image.new("RGB", (64, 64), "grey"))).decode()
        logged = Model.log(
            artifact_path=None,
            name=name,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            loader_module=model.__name__,
            data_path=str(folder),
            code_paths=[str(CODE)],
            pip_requirements=locked_requirements(REQUIREMENTS),
            signature=signature(),
            input_example=[example],
        )
    # Where the example fails, MLflow itself only warns.
    mlflow.pyfunc.load_model(logged.model_uri).predict([example])
    return str(mlflow.register_model(logged.model_uri, name).version)


def signature() -> ModelSignature:
    """One picture a row in; caption, score (log p, for a beam by length), tokens, and attention (one list of weights
    over the CNN's grid a token, row by row) out."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    weights_TxP = Array(Array(DataType.double))
    outputs: dict[str, DataType | Array] = {"caption": DataType.string, "score": DataType.double}
    outputs |= {"tokens": Array(DataType.string), "attention": weights_TxP}
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
    )


def locked_requirements(path: Path) -> list[str]:
    """The exact versions of a lock file, with their markers, without the hashes, which MLflow does not take."""
    found = re.findall(r"^([\w.\[\],-]+==[^\\\n]*?)\s*\\?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return list(found)


@contextmanager
def _files(tracker: Tracker, run_id: str, params: Params) -> Iterator[Path]:
    """A folder with what `ServedCaptioner` reads."""
    use_backend("tensorflow")
    from captioner.data.extractors import Extractor

    held = {artifact.path for artifact in tracker.client.list_artifacts(run_id)}
    if not {model.NETWORK, model.VOCABULARY} <= held:
        raise UserError("the run has no model in MLflow: it was not logged to its end")
    settings = {
        "extractor": params.data.extractor.model_dump(),
        "decode": params.decode.model_dump(),
        "max_length": params.text.max_length,
        "seed": params.seed,
    }
    with TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        (folder / model.SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        Extractor(params.data.extractor).write_weights(folder / model.EXTRACTOR)
        for artifact in (model.NETWORK, model.VOCABULARY):
            tracker.client.download_artifacts(run_id, artifact, str(folder))
        yield folder
