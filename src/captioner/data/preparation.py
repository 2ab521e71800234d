"""Preparation of a dataset: a frozen CNN computes the features of every image once."""

from __future__ import annotations

import csv
from pathlib import Path

import tensorflow_datasets as tfds
from PIL import Image

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.common.unfinished_work import mark_finished, mark_unfinished
from captioner.common.writing import link_or_copy, make_empty_folder
from captioner.data.captions_table import write_captions_table, write_dataset_name
from captioner.data.config import DataConfig
from captioner.data.datasets.karpathy import KarpathyConfig
from captioner.data.datasets.loading import load_dataset
from captioner.data.extractors import Extractor
from captioner.data.feature_extraction import SplitContent, extract_split
from captioner.data.features import write_extractor_identity
from captioner.data.samples_figure import draw_samples_figure

SOURCE_SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
MAX_PNG_SIDE = 128  # pixels; larger images for figures are stored as JPEG


def prepare_dataset(data: DataConfig, workspace: Workspace, unfinished: Path) -> None:
    """Write the captions, features and images for figures of each split, ``skipped.csv`` and ``samples.png``.

    The names of the dataset and the CNN are written beside captions and features. The rows of a split are in the order
    of the TFDS dataset, and restval follows train. Equal inputs give equal bytes. A dataset without a test split gives
    no files for it.

    Features in progress are in the folder ``unfinished``. A second run continues with its content. It stays at the end,
    because DVC has not committed the outputs yet.

    Raises:
        UserError: the CNN, its weights or the dataset are missing or damaged; no features are left in the workspace.
    """
    extractor = Extractor(data.extractor)
    builder = load_dataset(data)
    splits = _select_splits(builder, data.limit)
    _write_skipped_images(builder, workspace.skipped)
    partial_features = unfinished / builder.info.full_name.replace("/", "-")
    partial_features.mkdir(parents=True, exist_ok=True)
    mark_unfinished(unfinished)
    for folder in (workspace.captions, workspace.features, workspace.images):
        make_empty_folder(folder)
    for split, (instruction, count) in splits.items():
        content = extract_split(builder, instruction, count, extractor, partial_features / f"{split}.npy")
        write_captions_table(workspace.captions, split, content.table)
        _write_figure_images(workspace.images / split, content)
        if split == "train":
            captions = [content.table.captions[row] for row in content.figure_images]
            draw_samples_figure(list(content.figure_images.values()), captions, workspace.figures / "samples.png")
    for split in splits:
        link_or_copy(partial_features / f"{split}.npy", workspace.features / f"{split}.npy")
    write_extractor_identity(workspace.features, extractor.identity)
    write_dataset_name(workspace.captions, _dataset_name(builder))
    mark_finished(unfinished, workspace.features)


def _dataset_name(builder: tfds.core.DatasetBuilder) -> str:
    """Return the name that the user's JSON gives the dataset, or TFDS's name of any other dataset."""
    config = builder.builder_config
    return config.dataset.name if isinstance(config, KarpathyConfig) else str(builder.name)


def _select_splits(builder: tfds.core.DatasetBuilder, limit: int | None) -> dict[str, tuple[str, int]]:
    """Return for each split the TFDS splits to read, such as "train+restval", and the number of images."""
    splits = {}
    for split, sources in SOURCE_SPLITS.items():
        available = [source for source in sources if source in builder.info.splits]
        count = sum(builder.info.splits[source].num_examples for source in available)
        if sources[0] in available:
            splits[split] = "+".join(available), min(count, limit or count)
        elif split != "test":
            raise UserError(f"the dataset {builder.info.full_name} has no split {split}, which is required")
    return splits


def _write_skipped_images(builder: tfds.core.DatasetBuilder, path: Path) -> None:
    """Write a CSV file of the images that could not be read."""
    skipped = (builder.info.metadata or {}).get("skipped", [])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("file_name", "split", "reason"), *skipped])
    if skipped:
        print(f"{len(skipped)} images skipped: see {path}", flush=True)


def _write_figure_images(folder: Path, content: SplitContent) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row, image_SxSx3 in content.figure_images.items():
        suffix = ".png" if len(image_SxSx3) <= MAX_PNG_SIDE else ".jpg"
        Image.fromarray(image_SxSx3).save(folder / f"{content.table.image_ids[row]}{suffix}", quality=92)
