"""TFDS builders with the features and splits of ``coco_captions``: drawn scenes, and a user's own folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from captioner.config import UserError
from captioner.data import grammar, painting, scenes
from captioner.data.extractors import decoded
from captioner.data.karpathy import Album, read_album
from captioner.data.pictures import picture_bytes, png_bytes
from captioner.data.scenes import SHAPES, SIDE, draw_scene

SHAPES_SPLITS = {"train": 2400, "restval": 200, "val": 300, "test": 300}  # pictures
# Of the code that draws: a changed drawing is another dataset, so that none prepared before is taken for it.
DRAWING = hashlib.sha256(b"".join(Path(str(m.__file__)).read_bytes() for m in (scenes, painting, grammar))).hexdigest()

NO_ALBUM = Album((), "")


def coco_features() -> tfds.features.FeaturesDict:
    """The features of ``coco_captions``, one by one."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(
                {
                    "id": np.int64,
                    "area": np.int64,
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(num_classes=80),
                    "is_crowd": np.bool_,
                }
            ),
            "captions": tfds.features.Sequence({"text": np.str_, "id": np.int64}),
        }
    )


@dataclasses.dataclass(eq=False)
class ShapesConfig(tfds.core.BuilderConfig):
    """Which scenes: its name holds the seed and a digest of the code that draws."""

    seed: int = 0
    pictures: dict[str, int] = dataclasses.field(default_factory=lambda: dict(SHAPES_SPLITS))

    @classmethod
    def of_seed(cls, seed: int) -> ShapesConfig:
        """The scenes that are drawn from ``seed``."""
        return cls(name=f"seed-{seed}-{DRAWING[:12]}", seed=seed)


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Scenes of one to three coloured shapes with five captions each. A thing's label is its shape's number."""

    VERSION = tfds.core.Version("1.0.0")
    builder_config: ShapesConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return _info_of(self)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        generators, start = {}, 0
        for split, count in self.builder_config.pictures.items():
            generators[split] = self._generate_examples(range(start, start + count))
            start += count
        return generators

    def _generate_examples(self, indices: range) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices:
            scene = draw_scene(self.builder_config.seed, index)
            texts = grammar.captions_of(scene)
            yield (
                index,
                {
                    "image": png_bytes(Image.fromarray(painting.render(scene))),
                    "image/filename": f"shapes_{index:06d}.png",
                    "image/id": index,
                    "objects": [_object_of(thing, 10 * index + number) for number, thing in enumerate(scene.things)],
                    "captions": [{"id": len(texts) * index + n, "text": text} for n, text in enumerate(texts)],
                },
            )


@dataclasses.dataclass(eq=False)
class KarpathyConfig(tfds.core.BuilderConfig):
    """Which folder: its name holds a digest of the captions and pictures. ``skip``: pictures may be bad."""

    album: Album = NO_ALBUM
    skip: bool = False

    @classmethod
    def of_folder(cls, folder: Path, skip: bool = False) -> KarpathyConfig:
        """The folder as it is now.

        Raises:
            UserError: as ``captioner.data.karpathy.read_album``.
        """
        album = read_album(folder, skip)
        return cls(name=album.digest + ("-skip" if skip else ""), album=album, skip=skip)


class Karpathy(tfds.core.GeneratorBasedBuilder):
    """A user's own pictures with a Karpathy-style JSON. No objects.

    ``info.metadata["skipped"]`` lists the pictures that could not be read: file name, split, reason.
    """

    VERSION = tfds.core.Version("1.0.0")
    builder_config: KarpathyConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return _info_of(self)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        splits = dict.fromkeys(photo.split for photo in self.builder_config.album.photos)
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        read, skip = 0, self.builder_config.skip
        for number, photo in enumerate(self.builder_config.album.of_split(split)):
            name = "it" if skip else str(photo.path)  # the list of the skipped is the same on every machine
            try:
                picture = picture_bytes(photo.path, name)
                decoded(picture, name)
            except UserError as error:
                if not skip:
                    raise
                self.info.metadata.setdefault("skipped", []).append((photo.file_name, split, str(error)))
                continue
            read += 1
            yield (
                number,
                {
                    "image": picture,
                    "image/filename": photo.file_name,
                    "image/id": photo.image_id,
                    "objects": [],
                    "captions": [{"id": caption_id, "text": text} for caption_id, text in photo.captions],
                },
            )
        if not read:
            raise UserError(f"no picture of the split {split} can be read: check data.path and the pictures")


def _info_of(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetInfo:
    """Examples stay in the order they are generated in."""
    return tfds.core.DatasetInfo(
        builder=builder,
        description=type(builder).__doc__,
        features=coco_features(),
        disable_shuffling=True,
        metadata=tfds.core.MetadataDict(),
    )


def _object_of(thing: scenes.Thing, object_id: int) -> dict[str, Any]:
    left, top, right, bottom = painting.box_of(thing)
    return {
        "id": object_id,
        "area": painting.area_of(thing),
        "bbox": tfds.features.BBox(ymin=top / SIDE, xmin=left / SIDE, ymax=bottom / SIDE, xmax=right / SIDE),
        "label": SHAPES.index(thing.shape),
        "is_crowd": False,
    }
