"""prepare: pictures a second, decoding and resizing included, beside the bare forward pass of the CNN.

    PYTHONPATH=src python benchmarks/preparing.py

On JPEG files of COCO's size. Half of the pictures are prepared, then all, and the difference is what counts: start-up
and compilation are in both.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter
from rows import Row, give, seconds_of

from captioner import config
from captioner.backend import use_backend


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cnn", default="InceptionResNetV2")
    parser.add_argument("--pictures", type=int, default=192)
    options = parser.parse_args()
    use_backend("tensorflow")
    extractor = config.Extractor(name=options.cnn, weights=None, batch_size=32, watch="")
    with TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photos", options.pictures)
        prepare(folder, extractor, options.pictures // 2)  # makes the dataset
        half, low = prepare(folder, extractor, options.pictures // 2)
        whole, high = prepare(folder, extractor, options.pictures)
    ours = (options.pictures - options.pictures // 2) / (whole - half)
    bare = forward_pass(extractor)
    give(
        [
            Row("prepare", ours, "pictures/s", "bare forward pass", bare, ours / bare, 0.95),
            Row(
                "prepare, peak memory of twice the pictures", high, "MB", "of half", low, high / low, 1.05, at_most=True
            ),
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


def prepare(folder: Path, extractor: config.Extractor, limit: int) -> tuple[float, float]:
    """Seconds, and the peak of the memory so far in MB."""
    from captioner.data.prepare import prepare

    photos = str(folder / "photos")
    data = config.Data(
        name="karpathy",
        data_dir=str(folder / "tfds"),
        path=photos,
        seed=0,
        limit=limit,
        watch=photos,
        extractor=extractor,
    )
    began = time.perf_counter()
    prepare(data, folder / "prepared", folder / "samples.png", folder / "kept")
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forward_pass(settings: config.Extractor) -> float:
    """Pictures a second."""
    from captioner.data.extractors import Extractor

    extractor = Extractor(settings)
    size = settings.batch_size
    squares_BxSxSx3 = np.random.default_rng(0).random((size, extractor.side, extractor.side, 3), np.float32) * 255
    return size / seconds_of(lambda: extractor.features(squares_BxSxSx3), turns=5)


if __name__ == "__main__":
    main()
