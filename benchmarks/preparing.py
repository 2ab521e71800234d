"""prepare: pictures a second, decoding and resizing included, beside the bare forward pass of the CNN.

    PYTHONPATH=src python benchmarks/preparing.py

On JPEG files of COCO's size. What is counted begins with the third batch: start-up and compilation are over then.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter
from rows import Row, give, own_memory, seconds_of

from captioner import config
from captioner.backend import use_backend

BATCH = 32


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cnn", default="InceptionResNetV2")
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    use_backend("tensorflow")
    extractor = config.Extractor(name=options.cnn, weights=None, batch_size=BATCH, watch="")
    with TemporaryDirectory() as folder:
        draw(Path(folder) / "photos", options.batches * BATCH)
        marks = prepare(Path(folder), extractor)
    (begin, low), (end, high) = marks[1], marks[options.batches - 1]
    ours, bare = (options.batches - 2) * BATCH / (end - begin), forward_pass(extractor)
    give(
        [
            Row("prepare", ours, "pictures/s", "bare forward pass", bare, ours / bare, 0.95),
            Row("prepare, memory at the end", high, "MB", "after two batches", low, high / low, 1.05, at_most=True),
        ]
    )


def draw(folder: Path, pictures: int) -> None:
    """Smooth noise of 640 x 480 as JPEG, all training pictures but one."""
    folder.mkdir()
    random = np.random.default_rng(0)
    entries = []
    for number in range(pictures + 1):
        small_HxWx3 = random.integers(0, 256, (60, 80, 3), np.uint8)
        photo = Image.fromarray(small_HxWx3).resize((640, 480)).filter(ImageFilter.SHARPEN)
        photo.save(folder / f"{number}.jpg", quality=95)
        split = "train" if number < pictures else "val"
        sentences = [{"raw": "a photo of noise"}] * 5
        entries.append({"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": entries}), encoding="utf-8")


def prepare(folder: Path, extractor: config.Extractor) -> list[tuple[float, float]]:
    """When each batch was written, and the memory that the process had for itself then, in MB."""
    from captioner.data.features import FeaturesFile
    from captioner.data.prepare import prepare

    marks, append = [], FeaturesFile.append

    def marked(file: FeaturesFile, features_BxPxC: np.ndarray) -> None:
        append(file, features_BxPxC)
        marks.append((time.perf_counter(), own_memory()))

    FeaturesFile.append = marked
    photos = str(folder / "photos")
    places = {"data_dir": str(folder / "tfds"), "path": photos, "watch": photos}
    data = config.Data(name="karpathy", seed=0, limit=None, on_bad_image="error", extractor=extractor, **places)
    prepare(data, folder / "prepared", folder / "reports", folder / "kept")
    return marks


def forward_pass(settings: config.Extractor) -> float:
    """Pictures a second."""
    from captioner.data.extractors import Extractor

    extractor = Extractor(settings)
    size = settings.batch_size
    squares_BxSxSx3 = np.random.default_rng(0).random((size, extractor.side, extractor.side, 3), np.float32) * 255
    return size / seconds_of(lambda: extractor.features(squares_BxSxSx3), turns=5)


if __name__ == "__main__":
    main()
