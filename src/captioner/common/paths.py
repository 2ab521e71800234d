"""The paths of a workspace and the names of the stages, each written once."""

from __future__ import annotations

import os
from pathlib import Path

from captioner.common.errors import UserError

REMOTE = "remote://"  # a path that begins so is in a folder that DVC's configuration names
MODEL_WEIGHTS, MODEL_CONFIG = "captioner.weights.h5", "config.json"  # the names in the folder of a trained model
STAGES = ("prepare", "tokenize-adapt", "train", "sample", "evaluate")


class Workspace:
    """The files that the stages read and write, in the repository or in a copy of it in which a stage runs.

    ``root`` is the folder that holds ``params.yaml`` and ``dvc.yaml``; the current folder unless given.
    """

    def __init__(self, root: Path = Path()) -> None:
        self.root = root
        self.params = root / "params.yaml"
        self.dvc_yaml = root / "dvc.yaml"
        self.dvc_lock = root / "dvc.lock"
        self.requirements = root / "requirements/run.txt"  # the locked requirements of a run
        self.builtin_weights = root / "src/captioner/assets/shapes_cnn.weights.h5"  # of the CNN ``shapes_cnn``

        self.captions = root / "data/prepared/captions"  # the reference captions: one parquet table per split
        self.features = root / "data/prepared/features"  # the features of the CNN: one array per split
        self.images = root / "data/prepared/images"  # the images that figures show: one folder per split
        self.tokens = root / "data/tokens"  # the vocabulary and the token ids of each split
        self.vocabulary = self.tokens / "vocabulary.txt"
        self.model = root / "models/captioner"  # weights, ``config.json``, ``history.json`` and ``summary.txt``
        self.model_weights = self.model / MODEL_WEIGHTS
        self.model_config = self.model / MODEL_CONFIG  # parameters and sizes of the network; its CNN and vocabulary
        self.history = self.model / "history.json"  # the losses of each step and epoch of the training

        # Unfinished work is not an out, because DVC deletes outs before it runs a stage.
        self.checkpoints = root / "data/checkpoints"
        # The ids of the MLflow runs that this workspace created and has not completed, one per line.
        self.unfinished_runs = self.checkpoints / "unfinished_runs.txt"

        self.reports = root / "reports"
        self.generated_captions = self.reports / "captions.json"  # of a split, in COCO's results format
        self.attention = self.reports / "attention"  # the attention weights of the captions that figures show
        self.metrics = self.reports / "metrics.json"
        self.intervals = self.reports / "intervals.json"  # the 95 % interval of each score
        self.page = self.reports / "index.html"
        self.per_image = self.reports / "per_image.csv"  # the contribution of each caption to the scores
        self.skipped = self.reports / "skipped.csv"  # the images that could not be read
        self.leaderboard = self.reports / "leaderboard.md"
        self.figures = self.reports / "figures"
        self.profile = self.reports / "profile.txt"  # of a training with ``train.profile``
        self.recorded = root / "mlruns/recorded"  # the marker that the run in ``reports/`` is in MLflow


def repository_root() -> Path:
    """Return the repository that the user works in, also if this process runs in a copy (DVC sets ``DVC_ROOT``)."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def resolve_in_repository(path: str) -> Path:
    """Return the absolute form of a path that a user typed; a relative one starts at the repository.

    Symbolic links are kept, so that a link of the same name on two machines gives the same path. In
    ``remote://NAME/PATH``, ``NAME`` is a remote in DVC's configuration.

    Raises:
        UserError: DVC has no such remote, or it is not a folder of this machine.
    """
    if not path.startswith(REMOTE):
        return Path(watched_path(path))
    from dvc.config import Config

    name, _, rest = path.removeprefix(REMOTE).partition("/")
    folder = Config(str(repository_root() / ".dvc"))["remote"].get(name, {}).get("url")
    if folder is None or "://" in folder:
        raise UserError(
            f"{path}: DVC has no remote {name} that is a folder of this machine: "
            f"add it with `dvc remote add --global {name} FOLDER`"
        )
    return Path(folder) / rest


def watched_path(path: str, root: Path | None = None) -> str:
    """Return the form of a user's path that DVC hashes: absolute, or ``remote://NAME/PATH`` unchanged.

    A relative path starts at ``root``, the repository unless given.
    """
    if path.startswith(REMOTE):
        return path
    return os.path.abspath((root or repository_root()) / Path(path).expanduser())  # noqa: PTH100 (normalises "..")
