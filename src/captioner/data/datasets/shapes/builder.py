"""The TFDS builder of the built-in dataset of drawn scenes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from captioner.data.datasets.coco import unshuffled_dataset_info
from captioner.data.datasets.shapes import render, scene, templates
from captioner.data.images import encode_png

MAX_OBJECTS = 10  # per scene, for unique object ids
SPLIT_SIZES = {"train": 2400, "restval": 200, "val": 300, "test": 300}  # images
# The dataset's name contains this digest of the drawing code, so that a change of this code makes a new dataset.
CODE_DIGEST = hashlib.sha256(
    b"".join(Path(str(module.__file__)).read_bytes() for module in (scene, render, templates))
).hexdigest()


@dataclasses.dataclass(eq=False)
class ShapesConfig(tfds.core.BuilderConfig):
    """The seed of the scenes and the number of images of each split."""

    seed: int = 0
    split_sizes: dict[str, int] = dataclasses.field(default_factory=lambda: dict(SPLIT_SIZES))

    @classmethod
    def from_seed(cls, seed: int) -> ShapesConfig:
        """Return the configuration whose name holds the seed and the digest of the drawing code."""
        return cls(name=f"seed-{seed}-{CODE_DIGEST[:12]}", seed=seed)


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Scenes of one to three coloured shapes with five captions each.

    An object's label is the index of its shape in ``SHAPES``.
    """

    VERSION = tfds.core.Version("1.0.0")
    builder_config: ShapesConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return unshuffled_dataset_info(self)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        generators, start = {}, 0
        for split, size in self.builder_config.split_sizes.items():
            generators[split] = self._generate_examples(range(start, start + size))
            start += size
        return generators

    def _generate_examples(self, indices: range) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices:
            sampled = scene.sample_scene(self.builder_config.seed, index)
            captions = templates.caption_scene(sampled)
            yield (
                index,
                {
                    "image": encode_png(Image.fromarray(render.render_scene(sampled))),
                    "image/filename": f"shapes_{index:06d}.png",
                    "image/id": index,
                    "objects": [_encode_object(obj, MAX_OBJECTS * index + n) for n, obj in enumerate(sampled.objects)],
                    "captions": [{"id": len(captions) * index + n, "text": text} for n, text in enumerate(captions)],
                },
            )


def _encode_object(obj: scene.SceneObject, object_id: int) -> dict[str, Any]:
    """Return an object in the format of ``coco_captions``, with its bounding box in coordinates from 0 to 1."""
    left, top, right, bottom = (edge / scene.SIDE for edge in render.bounding_box(obj))
    return {
        "id": object_id,
        "area": render.pixel_area(obj),
        "bbox": tfds.features.BBox(ymin=top, xmin=left, ymax=bottom, xmax=right),
        "label": scene.SHAPES.index(obj.shape),
        "is_crowd": False,
    }
