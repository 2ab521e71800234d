"""Packing of a run as an MLflow model that needs neither the repository nor the dataset."""

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
from captioner.common.backend import use_backend
from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.data.images import encode_png
from captioner.serving import pyfunc
from captioner.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def pack(store: MlflowStore, name: str, run_id: str, trained_id: str, params: Params) -> str:
    """Log a run's model to MLflow as a pyfunc, register it, and return its version in the registry.

    The model holds the network, the vocabulary, the CNN's weights, the code, and the locked requirements.

    Args:
        store: holds the runs.
        name: that of the model in the registry.
        run_id: the run with the decoding.
        trained_id: the run with the network; it differs from ``run_id`` for a child run.
        params: those of the run.

    Raises:
        UserError: the run has no model, or the weights of its CNN cannot be read.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    with _model_files(store, trained_id, params) as folder:
        mlflow.set_tracking_uri(store.client.tracking_uri)
        mlflow.set_experiment(experiment_id=store.experiment_id)
        example = base64.b64encode(encode_png(Image.new("RGB", (64, 64), "grey"))).decode()
        logged = Model.log(
            artifact_path=None,
            name=name,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            loader_module=pyfunc.__name__,
            data_path=str(folder),
            code_paths=[str(Path(captioner.__file__).parent)],
            pip_requirements=read_locked_requirements(Workspace().requirements),
            signature=model_signature(),
            input_example=[example],
        )
    # MLflow only warns if the example fails.
    mlflow.pyfunc.load_model(logged.model_uri).predict([example])
    return str(mlflow.register_model(logged.model_uri, name).version)


def model_signature() -> ModelSignature:
    """Return the types of the model's inputs and outputs.

    The input has one image per row. The outputs are the caption, its score (log p; for beam search normalised by
    length), its tokens, and its attention: for each token the weights over the cells of the CNN's grid, row by row.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    weights_TxP = Array(Array(DataType.double))
    outputs: dict[str, DataType | Array] = {"caption": DataType.string, "score": DataType.double}
    outputs |= {"tokens": Array(DataType.string), "attention": weights_TxP}
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
    )


def read_locked_requirements(path: Path) -> list[str]:
    """Return the exact versions in a lock file, with their markers, without the hashes, which MLflow rejects."""
    return re.findall(r"^([\w.\[\],-]+==[^\\\n]*?)\s*\\?$", path.read_text(encoding="utf-8"), re.MULTILINE)


@contextmanager
def _model_files(store: MlflowStore, run_id: str, params: Params) -> Iterator[Path]:
    """Make a temporary folder with the files that `ServedCaptioner` reads."""
    use_backend("tensorflow")
    from captioner.data.extractors import Extractor

    logged = {artifact.path for artifact in store.client.list_artifacts(run_id)}
    if not {pyfunc.MODEL_FOLDER, pyfunc.VOCABULARY_FILE} <= logged:
        raise UserError("the run has no model in MLflow: it was not logged completely")
    settings = {
        "extractor": params.data.extractor.model_dump(),
        "decode": params.decode.model_dump(),
        "max_length": params.text.max_length,
        "seed": params.seed,
    }
    with TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        (folder / pyfunc.SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        Extractor(params.data.extractor).write_weights(folder / pyfunc.EXTRACTOR_FILE)
        for artifact in (pyfunc.MODEL_FOLDER, pyfunc.VOCABULARY_FILE):
            store.client.download_artifacts(run_id, artifact, str(folder))
        yield folder
