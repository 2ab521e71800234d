"""Runs the frozen CNN once for every picture of a dataset, and keeps its features, the captions, and a few pictures."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from captioner import config
from captioner.config import UserError, in_repository
from captioner.data.features import FeaturesFile
from captioner.data.samples import draw_samples
from captioner.data.tables import CaptionTable, write_captions
from captioner.disk import fresh_folder

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from captioner.data.extractors import Extractor

PARTS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}  # what our splits are made of
KEPT_PICTURES = 64  # of each split
LOSSLESS = 128  # pixels a side, up to which kept pictures are PNG; larger ones are JPEG


@dataclass
class _Rows:
    """What has been read of a split so far."""

    kept: set[int]
    image_ids: list[int] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)
    pictures: dict[int, np.ndarray] = field(default_factory=dict)


def prepare(data: config.Data, out: Path, reports: Path, kept: Path) -> None:
    """Writes ``out/captions``, ``out/features`` and ``out/pictures`` for train (with restval), val and test.

    Rows are in the order of the prepared TFDS dataset; equal inputs give equal bytes. A dataset without a test split
    gives no test files. ``reports`` gets ``skipped.csv``, the pictures that could not be read, and
    ``figures/samples.png``, training pictures with their captions. ``kept`` holds the features while they are made:
    when it is killed and started again, it goes on from there.

    Raises:
        UserError: the CNN, its weights or the dataset are not as they should be; there are no features then.
    """
    from captioner.data.extractors import Extractor

    extractor = Extractor(data.extractor)
    builder = _builder(data)
    splits = _splits(builder, data)
    _report(builder, reports / "skipped.csv")
    kept /= builder.info.full_name.replace("/", "-")
    kept.mkdir(parents=True, exist_ok=True)
    for folder in ("captions", "features", "pictures"):
        fresh_folder(out / folder)
    samples = reports / "figures" / "samples.png"
    for split, (instruction, count) in splits.items():
        rows = _write_features(builder, instruction, count, extractor, kept / f"{split}.npy")
        write_captions(out / "captions", split, CaptionTable(rows.image_ids, rows.file_names, rows.captions))
        _write_pictures(out / "pictures" / split, rows)
        if split == "train":
            shown = sorted(rows.pictures)
            draw_samples([rows.pictures[row] for row in shown], [rows.captions[row] for row in shown], samples)
    for split in splits:
        shutil.move(kept / f"{split}.npy", out / "features" / f"{split}.npy")  # perhaps to another disk
    shutil.rmtree(kept.parent)


def _builder(data: config.Data) -> tfds.core.DatasetBuilder:
    """The dataset, downloaded or made where the TFDS folder does not hold it yet."""
    with _quiet():
        from captioner.data import builders

    folder = data.data_dir or "data/tfds"
    data_dir = folder if "://" in folder else str(in_repository(folder))
    if data.name == "coco":
        return _coco(data_dir)
    builder: tfds.core.DatasetBuilder
    if data.name == "shapes":
        builder = builders.Shapes(data_dir=data_dir, config=builders.ShapesConfig.of_seed(data.seed))
    else:
        album = builders.KarpathyConfig.of_folder(in_repository(str(data.path)), skip=data.on_bad_image == "skip")
        builder = builders.Karpathy(data_dir=data_dir, config=album)
    try:
        _make(builder)
    except (OSError, UserError):
        if not builder.data_path.exists():
            raise
        return _builder(data)  # another process made the same dataset, and was faster
    return builder


def _make(builder: tfds.core.DatasetBuilder) -> None:
    """Writes the dataset unless it is there. TFDS takes back what it began when a picture turns out to be damaged."""
    import tensorflow as tf

    try:
        with _quiet():
            builder.download_and_prepare()
    except (UserError, tf.errors.OpError, RuntimeError) as error:  # TFDS makes the third of the second
        with contextlib.suppress(OSError):
            Path(builder.data_dir).parent.rmdir()
        cause = error.__cause__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, tf.errors.OpError):
            raise
        reason = str(cause.message).splitlines()[0]
        raise UserError(
            f"{builder.data_dir} cannot be written ({reason}): free some space, or set data.data_dir"
        ) from None


def _coco(data_dir: str) -> tfds.core.DatasetBuilder:
    import tensorflow_datasets as tfds

    builder = tfds.builder("coco_captions", data_dir=data_dir)
    if not builder.is_prepared():
        try:
            builder.download_and_prepare()
        except Exception as error:  # what goes wrong with a download has many types, of several libraries
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise UserError(
                f"coco_captions is not in {data_dir} and could not be downloaded ({reason}): "
                "set data.data_dir to a TFDS folder that holds it"
            ) from None
    return builder


def _splits(builder: tfds.core.DatasetBuilder, data: config.Data) -> dict[str, tuple[str, int]]:
    """For each of our splits the TFDS splits to read ("train+restval") and the number of pictures."""
    found = {}
    for split, parts in PARTS.items():
        there = [part for part in parts if part in builder.info.splits]
        count = sum(builder.info.splits[part].num_examples for part in there)
        if parts[0] in there:
            found[split] = "+".join(there), min(count, data.limit or count)
        elif split != "test":
            raise UserError(f"the dataset {builder.info.full_name} has no split {split}, which cannot be done without")
    return found


def _report(builder: tfds.core.DatasetBuilder, path: Path) -> None:
    """Lists the pictures that the dataset had to do without."""
    skipped = (builder.info.metadata or {}).get("skipped", [])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("file_name", "split", "reason"), *skipped])
    if skipped:
        print(f"{len(skipped)} pictures skipped: see {path}", flush=True)


def _write_features(
    builder: tfds.core.DatasetBuilder, instruction: str, count: int, extractor: Extractor, path: Path
) -> _Rows:
    """Streams the features of a split to disk, from the first row that an earlier process did not finish."""
    import tensorflow as tf

    from captioner.data.extractors import decoded

    features = FeaturesFile(path, (count, extractor.positions, extractor.channels))
    rows = _Rows(kept=set(np.linspace(0, count - 1, min(KEPT_PICTURES, count)).round().astype(int).tolist()))
    if features.done:
        print(f"{path.stem}: going on from picture {features.done} of {count}", flush=True)
    examples = _examples(builder, instruction).take(count)
    for example in examples.take(features.done):
        _add_done(rows, example, extractor)
    with _progress() as progress:
        task = progress.add_task(f"{path.stem}: pictures", total=count, completed=features.done)
        try:
            for squares_BxSxSx3, ids, names, captions in _batches(examples.skip(features.done), extractor):
                features.append(extractor.features(squares_BxSxSx3))
                _add(rows, squares_BxSxSx3, ids, names, captions)
                progress.advance(task, len(ids))
        except tf.errors.OpError as error:
            with contextlib.suppress(tf.errors.OpError):
                for picture, _, name, _ in examples.skip(features.done):  # the pipeline does not say which it was
                    decoded(picture, name.numpy().decode())
            reason = str(error.message).splitlines()[0][:200]
            raise UserError(
                f"{builder.data_dir} is damaged ({reason}): remove it, and run the same command again"
            ) from None
    features.close()
    return rows


def _examples(builder: tfds.core.DatasetBuilder, instruction: str) -> tf.data.Dataset:
    """(Encoded picture, image id, file name, captions) one by one, in the recorded order."""
    import tensorflow_datasets as tfds

    wanted = {"image": True, "image/id": True, "image/filename": True, "captions": {"text"}}
    dataset = builder.as_dataset(
        split=instruction,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, interleave_block_length=1, try_autocache=False),
        decoders=tfds.decode.PartialDecoding(wanted, decoders={"image": tfds.decode.SkipDecoding()}),
    )
    return dataset.map(lambda x: (x["image"], x["image/id"], x["image/filename"], x["captions"]["text"]))


def _batches(examples: tf.data.Dataset, extractor: Extractor) -> tf.data.Dataset:
    """Batches of (squares, image ids, file names, captions), decoded ahead on all cores."""
    import tensorflow as tf

    def open_up(picture: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return extractor.square(picture), *rest

    decoded = examples.map(open_up, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.ragged_batch(extractor.batch_size).prefetch(2)


def _add(rows: _Rows, squares_BxSxSx3: tf.Tensor, ids: tf.Tensor, names: tf.Tensor, captions: tf.RaggedTensor) -> None:
    from captioner.data.extractors import as_seen

    start = len(rows.image_ids)
    for row in rows.kept.intersection(range(start, start + len(ids))):
        rows.pictures[row] = as_seen(squares_BxSxSx3[row - start].numpy())
    rows.image_ids += ids.numpy().tolist()
    rows.file_names += [name.decode() for name in names.numpy()]
    rows.captions += [[text.decode() for text in texts] for texts in captions.to_list()]


def _add_done(rows: _Rows, example: tuple[tf.Tensor, ...], extractor: Extractor) -> None:
    """Adds a row whose features are there: only a picture that is kept is decoded again."""
    picture, image_id, name, captions = example
    row = len(rows.image_ids)
    if row in rows.kept:
        rows.pictures[row] = extractor.seen(picture)
    rows.image_ids.append(int(image_id))
    rows.file_names.append(name.numpy().decode())
    rows.captions.append([text.decode() for text in captions.numpy()])


def _write_pictures(folder: Path, rows: _Rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row, picture_SxSx3 in rows.pictures.items():
        suffix = ".png" if len(picture_SxSx3) <= LOSSLESS else ".jpg"
        Image.fromarray(picture_SxSx3).save(folder / f"{rows.image_ids[row]}{suffix}", quality=92)


def _progress() -> Progress:
    """A bar on a terminal, silence elsewhere."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from telling what it does."""
    import tensorflow_datasets as tfds
    from absl import logging

    tfds.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
