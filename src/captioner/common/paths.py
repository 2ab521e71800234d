"""The paths of a workspace and the names of the stages, each written once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from captioner.common.errors import UserError

REMOTE = "remote://"  # a path that begins so is in a folder that DVC's configuration names
MODEL_WEIGHTS, MODEL_CONFIG = "captioner.weights.h5", "config.json"  # the names in the folder of a trained model
STAGES = ("prepare", "tokenize-adapt", "train", "sample", "evaluate")


@dataclass(frozen=True)
class Workspace:
    """The files that the stages read and write: the repository, or a copy of it in which a stage runs.

    Attributes:
        root: the folder that holds ``params.yaml`` and ``dvc.yaml``; the current folder unless given.
    """

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def dvc_yaml(self) -> Path:
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        return self.root / "dvc.lock"

    @property
    def requirements(self) -> Path:
        """The locked requirements of a run."""
        return self.root / "requirements/run.txt"

    @property
    def builtin_weights(self) -> Path:
        """The weights of the built-in CNN, ``shapes_cnn``."""
        return self.root / "src/captioner/assets/shapes_cnn.weights.h5"

    @property
    def captions(self) -> Path:
        """The reference captions: one parquet table per split."""
        return self.root / "data/prepared/captions"

    @property
    def features(self) -> Path:
        """The features of the CNN: one array per split."""
        return self.root / "data/prepared/features"

    @property
    def images(self) -> Path:
        """The images that figures show: one folder per split."""
        return self.root / "data/prepared/images"

    @property
    def tokens(self) -> Path:
        """The vocabulary and the token ids of each split."""
        return self.root / "data/tokens"

    @property
    def vocabulary(self) -> Path:
        return self.tokens / "vocabulary.txt"

    @property
    def model(self) -> Path:
        """The trained model: weights, ``config.json``, ``history.json`` and ``summary.txt``."""
        return self.root / "models/captioner"

    @property
    def model_weights(self) -> Path:
        return self.model / MODEL_WEIGHTS

    @property
    def model_config(self) -> Path:
        """The parameters and sizes of the network, and the CNN and vocabulary that it was trained with."""
        return self.model / MODEL_CONFIG

    @property
    def history(self) -> Path:
        """The losses of each step and epoch of the training."""
        return self.model / "history.json"

    @property
    def checkpoints(self) -> Path:
        """Unfinished work. It is not an out, because DVC deletes outs before it runs a stage."""
        return self.root / "data/checkpoints"

    @property
    def unfinished_runs(self) -> Path:
        """The ids of the MLflow runs that this workspace created and has not completed, one per line."""
        return self.checkpoints / "unfinished_runs.txt"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def generated_captions(self) -> Path:
        """The generated captions of a split, in COCO's results format."""
        return self.reports / "captions.json"

    @property
    def attention(self) -> Path:
        """The attention weights of the captions that figures show."""
        return self.reports / "attention"

    @property
    def metrics(self) -> Path:
        return self.reports / "metrics.json"

    @property
    def intervals(self) -> Path:
        """The 95 % interval of each score."""
        return self.reports / "intervals.json"

    @property
    def page(self) -> Path:
        return self.reports / "index.html"

    @property
    def per_image(self) -> Path:
        """The contribution of each caption to the scores."""
        return self.reports / "per_image.csv"

    @property
    def skipped(self) -> Path:
        """The list of images that could not be read."""
        return self.reports / "skipped.csv"

    @property
    def leaderboard(self) -> Path:
        return self.reports / "leaderboard.md"

    @property
    def figures(self) -> Path:
        return self.reports / "figures"

    @property
    def profile(self) -> Path:
        """The profile of a training with ``train.profile``."""
        return self.reports / "profile.txt"

    @property
    def recorded(self) -> Path:
        """The marker that the run in ``reports/`` is in MLflow."""
        return self.root / "mlruns/recorded"


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
        return Path(os.path.abspath(repository_root() / Path(path).expanduser()))  # noqa: PTH100 (normalises "..")
    from dvc.config import Config

    name, _, rest = path.removeprefix(REMOTE).partition("/")
    folder = Config(str(repository_root() / ".dvc"))["remote"].get(name, {}).get("url")
    if folder is None or "://" in folder:
        raise UserError(
            f"{path}: DVC has no remote {name} that is a folder of this machine: "
            f"add it with `dvc remote add --global {name} FOLDER`"
        )
    return Path(folder) / rest


def watched_path(path: str) -> str:
    """Return the form of a user's path that DVC hashes: absolute, or ``remote://NAME/PATH`` unchanged."""
    return path if path.startswith(REMOTE) else str(resolve_in_repository(path))
