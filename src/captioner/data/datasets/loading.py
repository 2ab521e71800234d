"""Loading of the dataset that ``params.yaml`` chooses; a missing one is downloaded or generated."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from captioner.common.errors import UserError
from captioner.common.paths import resolve_in_repository
from captioner.data.config import DataConfig
from captioner.data.datasets.coco import load_coco
from captioner.data.datasets.karpathy import Karpathy, KarpathyConfig
from captioner.data.datasets.shapes.builder import Shapes, ShapesConfig


def load_dataset(data: DataConfig) -> tfds.core.DatasetBuilder:
    """Return the builder of a dataset that is completely on disk.

    Raises:
        UserError: the dataset cannot be downloaded, read or written.
    """
    tfds.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    folder = data.data_dir or "data/tfds"
    data_dir = folder if "://" in folder else str(resolve_in_repository(folder))
    if data.name == "coco":
        return load_coco(data_dir)
    builder: tfds.core.DatasetBuilder
    if data.name == "shapes":
        builder = Shapes(data_dir=data_dir, config=ShapesConfig.from_seed(data.seed))
    else:
        path = resolve_in_repository(str(data.path))
        config = KarpathyConfig.from_folder(path, skip=data.on_bad_image == "skip")
        builder = Karpathy(data_dir=data_dir, config=config)
    try:
        _generate(builder)
    except (OSError, UserError):
        if not builder.data_path.exists():
            raise
        return load_dataset(data)  # another process generated the same dataset at the same time
    return builder


def _generate(builder: tfds.core.DatasetBuilder) -> None:
    """Write the dataset unless it exists. TFDS removes its partial output if an image turns out to be damaged."""
    try:
        with Path(os.devnull).open("w") as devnull, contextlib.redirect_stdout(devnull):
            builder.download_and_prepare()
    except (UserError, tf.errors.OpError, RuntimeError) as error:  # TFDS wraps an OpError in a RuntimeError
        with contextlib.suppress(OSError):
            Path(builder.data_dir).parent.rmdir()
        cause = error.__cause__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, tf.errors.OpError):
            raise
        reason = str(cause.message).splitlines()[0]
        raise UserError(
            f"{builder.data_dir} cannot be written ({reason}): free some space, or set data.data_dir"
        ) from None
