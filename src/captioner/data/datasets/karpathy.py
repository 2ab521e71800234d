"""Folders of images with a ``dataset*.json`` in Karpathy's format: reading, checking, and a TFDS builder.

The format is that of the splits of Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image
Descriptions" (CVPR 2015), https://cs.stanford.edu/people/karpathy/deepimagesent/.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow_datasets as tfds

from captioner.common.errors import UserError
from captioner.common.reading import read_json
from captioner.data.datasets.coco import unshuffled_dataset_info
from captioner.data.images import read_image

KARPATHY_SPLITS = ("train", "restval", "val", "test")
MAX_NAME_BYTES = 255  # of a file name, on the usual file systems
FORMAT = '{"images": [{"filename": ..., "split": ..., "cocoid" or "imgid": ..., "sentences": [{"raw": ...}]}]}'


@dataclass(frozen=True)
class KarpathyExample:
    """An image with its captions as pairs (caption id, text)."""

    image_id: int
    file_name: str
    path: Path
    split: str
    captions: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class KarpathyDataset:
    """The examples of a folder in the order of the JSON.

    Attributes:
        examples: of all splits.
        name: ``dataset`` of the JSON; "karpathy" if it has none.
        digest: 12 hexadecimal digits that change with every image and caption.
    """

    examples: tuple[KarpathyExample, ...]
    name: str
    digest: str


def read_karpathy_folder(folder: Path, skip: bool = False) -> KarpathyDataset:
    """Read and check a folder's JSON, and read every image once for the digest.

    Raises:
        UserError: the folder has no ``dataset*.json`` or several, the JSON is not in Karpathy's format, or captions,
            splits or, unless ``skip`` is set, images are missing.
    """
    json_path = _find_json(folder)
    tree = read_json(json_path)
    if not isinstance(tree, dict) or not isinstance(tree.get("images"), list):
        raise UserError(f"{json_path} is not in Karpathy's format: expected {FORMAT}")
    examples = tuple(_parse_entry(folder, entry, n, json_path, skip) for n, entry in enumerate(tree["images"]))
    _check_splits_and_ids(examples, json_path)
    digest = hashlib.sha256(json_path.read_bytes())
    for example in examples:
        digest.update(_digest_image(example.path, skip))
    name = tree.get("dataset")
    name = (name.strip() if isinstance(name, str) else "") or Karpathy.name
    return KarpathyDataset(examples, name, digest.hexdigest()[:12])


@dataclass(eq=False)
class KarpathyConfig(tfds.core.BuilderConfig):
    """The content of a folder. With ``skip``, images that cannot be read are left out."""

    dataset: KarpathyDataset = KarpathyDataset((), "", "")
    skip: bool = False

    @classmethod
    def from_folder(cls, folder: Path, skip: bool = False) -> KarpathyConfig:
        """Return the configuration whose name holds the digest of the folder's present content.

        Raises:
            UserError: as `read_karpathy_folder`.
        """
        dataset = read_karpathy_folder(folder, skip)
        return cls(name=dataset.digest + ("-skip" if skip else ""), dataset=dataset, skip=skip)


class Karpathy(tfds.core.GeneratorBasedBuilder):
    """Images of a user's folder with a JSON in Karpathy's format, without objects.

    ``info.metadata["skipped"]`` lists the images that could not be read: file name, split, reason.
    """

    VERSION = tfds.core.Version("1.0.0")
    builder_config: KarpathyConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return unshuffled_dataset_info(self)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        splits = dict.fromkeys(example.split for example in self.builder_config.dataset.examples)
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from captioner.data.extractors import decode_image  # imports tensorflow

        count, skip = 0, self.builder_config.skip
        examples = [example for example in self.builder_config.dataset.examples if example.split == split]
        for number, example in enumerate(examples):
            name = "it" if skip else str(example.path)  # without paths, the list of skipped images is reproducible
            try:
                image = read_image(example.path, name)
                decode_image(image, name)
            except UserError as error:
                if not skip:
                    raise
                self.info.metadata.setdefault("skipped", []).append((example.file_name, split, str(error)))
                continue
            count += 1
            yield (
                number,
                {
                    "image": image,
                    "image/filename": example.file_name,
                    "image/id": example.image_id,
                    "objects": [],
                    "captions": [{"id": caption_id, "text": text} for caption_id, text in example.captions],
                },
            )
        if not count:
            raise UserError(f"no image of the split {split} can be read: check data.path and the images")


def _find_json(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: set data.path to one with images and a dataset*.json")
    paths = sorted(folder.glob("dataset*.json"))
    if len(paths) != 1:
        content = "no dataset*.json" if not paths else f"several: {', '.join(path.name for path in paths)}"
        raise UserError(f"{folder} holds {content}; it must hold exactly one, in Karpathy's format")
    return paths[0]


def _parse_entry(folder: Path, entry: Any, number: int, json_path: Path, skip: bool) -> KarpathyExample:
    """Check an entry of ``images`` and find its file."""
    try:
        image_id = entry.get("cocoid", entry.get("imgid"))
        name, subfolder, split = entry["filename"], entry.get("filepath", ""), entry["split"]
        sentences = [(sentence.get("sentid", 0), sentence["raw"]) for sentence in entry["sentences"]]
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{json_path}: images[{number}] is not in Karpathy's format: expected {FORMAT}") from None
    label = f"{json_path}: images[{number}] ({str(name)[:100]!r})"
    strings = (name, subfolder, split, *(raw for _, raw in sentences))
    ids = (image_id, *(sentence_id for sentence_id, _ in sentences))
    if not all(isinstance(value, str) for value in strings) or not all(map(_is_int64, ids)):
        raise UserError(f"{label}: names, splits and captions must be text, ids whole numbers: expected {FORMAT}")
    if split not in KARPATHY_SPLITS:
        raise UserError(f"{label}: its split is {split!r}; allowed: {', '.join(KARPATHY_SPLITS)}")
    captions = tuple((sentence_id, raw) for sentence_id, raw in sentences if raw.strip())
    if not captions:
        raise UserError(f"{label} has no caption: give it one, or remove the image")
    return KarpathyExample(image_id, name, _find_image(folder, subfolder, name, label, skip), split, captions)


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _find_image(folder: Path, subfolder: str, name: str, label: str, skip: bool) -> Path:
    """Return the path of an image, or with ``skip`` the expected path of a missing one.

    The folder may contain links to other folders, but file names must not leave it.
    """
    relative = PurePosixPath(subfolder, name)
    if relative.is_absolute() or ".." in relative.parts or not name:
        raise UserError(f"{label}: its path {str(relative)!r} leads out of the folder; give one inside")
    if "\0" in str(relative) or any(len(part.encode()) > MAX_NAME_BYTES for part in relative.parts):
        raise UserError(f"{label}: its path is not a valid file path; give that of the image")
    candidates = dict.fromkeys((folder / relative, folder / "images" / name, folder / name))
    for path in candidates:
        if os.path.isfile(path):  # noqa: PTH113 (unlike Path's, it is False also for a path that is too long)
            return path
    if skip:
        return folder / relative
    raise UserError(f"{label} is missing: looked for {', '.join(map(str, candidates))}")


def _digest_image(path: Path, skip: bool) -> bytes:
    """Return the digest of an image file; with ``skip``, the reason in place of one that cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        if skip:
            return (error.strerror or "").encode()
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def _check_splits_and_ids(examples: tuple[KarpathyExample, ...], json_path: Path) -> None:
    for split in ("train", "val"):
        if not any(example.split == split for example in examples):
            raise UserError(f"{json_path} has no images in the split {split!r}: mark some with it")
    names: dict[int, str] = {}
    for example in examples:
        if example.image_id in names:
            both = f"{names[example.image_id]} and {example.file_name}"
            raise UserError(f"{json_path}: {both} have the same id {example.image_id}: give each its own")
        names[example.image_id] = example.file_name
