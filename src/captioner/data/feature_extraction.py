"""Extraction of the features of a split, together with its captions and its images for figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from captioner.common.console import progress_bar
from captioner.common.errors import UserError, first_line
from captioner.data.captions_table import CaptionsTable
from captioner.data.extractors import Extractor, decode_image, to_uint8
from captioner.data.features import FeaturesWriter

MAX_FIGURE_IMAGES = 64  # per split


@dataclass
class SplitContent:
    """The captions of a split and its images for figures.

    Attributes:
        figure_rows: the rows of the table whose images are collected.
        table: grows while the split is read.
        figure_images: uint8 [side, side, 3] by row.
    """

    figure_rows: set[int]
    table: CaptionsTable = field(default_factory=lambda: CaptionsTable([], [], []))
    figure_images: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, example: tuple[Any, ...], to_pixels: Callable[[Any], np.ndarray]) -> None:
        """Add an example. ``to_pixels`` converts its image, only if figures need it."""
        image, image_id, name, captions = example
        if len(self.table) in self.figure_rows:
            self.figure_images[len(self.table)] = to_pixels(image)
        self.table.image_ids.append(int(image_id))
        self.table.file_names.append(name.decode())
        self.table.captions.append([text.decode() for text in captions])


def extract_split(
    builder: tfds.core.DatasetBuilder, instruction: str, count: int, extractor: Extractor, path: Path
) -> SplitContent:
    """Write the features of a split to ``path``, starting at the first row that an earlier process did not finish.

    Args:
        builder: of a dataset that is on disk.
        instruction: the TFDS splits to read, such as "train+restval".
        count: number of images to read.
        extractor: the frozen CNN.
        path: the ``.npy`` file of the features; its stem is the name of the split.

    Raises:
        UserError: the dataset is damaged.
    """
    writer = FeaturesWriter(path, (count, extractor.positions, extractor.channels))
    figure_rows = np.linspace(0, count - 1, min(MAX_FIGURE_IMAGES, count)).round().astype(int)
    content = SplitContent(set(figure_rows.tolist()))
    if writer.rows_done:
        print(f"{path.stem}: resuming at image {writer.rows_done} of {count}", flush=True)
    examples = _read_examples(builder, instruction).take(count)
    for example in examples.take(writer.rows_done).as_numpy_iterator():
        content.add(example, extractor.resized_image)
    with progress_bar() as progress:
        task = progress.add_task(f"{path.stem}: images", total=count, completed=writer.rows_done)
        try:
            for squares_BxSxSx3, ids, names, captions in _batch(examples.skip(writer.rows_done), extractor):
                writer.append(extractor.extract(squares_BxSxSx3))
                arrays = squares_BxSxSx3.numpy(), ids.numpy(), names.numpy(), captions.to_list()
                for example in zip(*arrays, strict=True):
                    content.add(example, to_uint8)
                progress.advance(task, len(ids))
        except tf.errors.OpError as error:
            _raise_user_error(builder, examples.skip(writer.rows_done), error)
    writer.flush()
    return content


def _read_examples(builder: tfds.core.DatasetBuilder, instruction: str) -> tf.data.Dataset:
    """Return a dataset of (encoded image, image id, file name, captions), in the order on disk."""
    wanted = {"image": True, "image/id": True, "image/filename": True, "captions": {"text"}}
    dataset = builder.as_dataset(
        split=instruction,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, interleave_block_length=1, try_autocache=False),
        decoders=tfds.decode.PartialDecoding(wanted, decoders={"image": tfds.decode.SkipDecoding()}),
    )
    return dataset.map(lambda x: (x["image"], x["image/id"], x["image/filename"], x["captions"]["text"]))


def _batch(examples: tf.data.Dataset, extractor: Extractor) -> tf.data.Dataset:
    """Return batches of (resized images, image ids, file names, captions); images are decoded on all cores."""

    def decode(image: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return extractor.decode_and_resize(image), *rest

    decoded = examples.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.ragged_batch(extractor.batch_size).prefetch(2)


def _raise_user_error(
    builder: tfds.core.DatasetBuilder, examples: tf.data.Dataset, error: tf.errors.OpError
) -> NoReturn:
    """Raise an error that names the damaged image, or the dataset if its files cannot be read."""
    with contextlib.suppress(tf.errors.OpError):
        for image, _, name, _ in examples:  # the pipeline's own error does not name the image
            decode_image(image, name.numpy().decode())
    raise UserError(
        f"{builder.data_dir} is damaged ({first_line(error)}): remove it, and run the same command again"
    ) from None
