"""Measure prepare in images per second, decoding and resizing included; the baseline is the CNN's forward pass alone.

    PYTHONPATH=src python benchmarks/prepare.py

The images are JPEG files of COCO's size. The first two batches are not measured, because they contain start-up and
compilation.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import measure_memory, measure_seconds
from PIL import Image, ImageFilter
from result import compare, print_results

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.data.config import DataConfig, ExtractorConfig

BATCH_SIZE = 32


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cnn", default="InceptionResNetV2")
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    use_backend("tensorflow")
    extractor = ExtractorConfig(name=options.cnn, weights=None, batch_size=BATCH_SIZE, watch="")
    with TemporaryDirectory() as folder:
        write_dataset(Path(folder) / "dataset", options.batches * BATCH_SIZE)
        batches = run_prepare(Path(folder), extractor)
    (start, start_memory), (end, end_memory) = batches[1], batches[options.batches - 1]
    rate = (options.batches - 2) * BATCH_SIZE / (end - start)
    forward_pass, after_two = ("CNN forward pass", measure_forward_pass(extractor)), ("after two batches", start_memory)
    print_results(
        [
            compare("prepare", "images/s", rate, forward_pass, 0.95),
            compare("prepare, memory at the end", "MB", end_memory, after_two, 1.05, at_most=True),
        ]
    )


def write_dataset(folder: Path, images: int) -> None:
    """Write a Karpathy-style dataset of smooth noise, 640 x 480: ``images`` for training and one for validation."""
    folder.mkdir()
    random = np.random.default_rng(0)
    entries = []
    for number in range(images + 1):
        noise_HxWx3 = random.integers(0, 256, (60, 80, 3), np.uint8)
        image = Image.fromarray(noise_HxWx3).resize((640, 480)).filter(ImageFilter.SHARPEN)
        image.save(folder / f"{number}.jpg", quality=95)
        split = "train" if number < images else "val"
        sentences = [{"raw": "a photo of noise"}] * 5
        entries.append({"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": entries}), encoding="utf-8")


def run_prepare(folder: Path, extractor: ExtractorConfig) -> list[tuple[float, float]]:
    """Return for each written batch the time in seconds and the memory of this process in MB."""
    from captioner.data.features import FeaturesWriter
    from captioner.data.preparation import prepare_dataset

    batches, append = [], FeaturesWriter.append

    def record_append(writer: FeaturesWriter, features_BxPxC: np.ndarray) -> None:
        append(writer, features_BxPxC)
        batches.append((time.perf_counter(), measure_memory()))

    FeaturesWriter.append = record_append
    dataset = str(folder / "dataset")
    paths = {"data_dir": str(folder / "tfds"), "path": dataset, "watch": dataset}
    data = DataConfig(name="karpathy", seed=0, limit=None, on_bad_image="error", extractor=extractor, **paths)
    prepare_dataset(data, Workspace(folder), folder / "unfinished")
    return batches


def measure_forward_pass(config: ExtractorConfig) -> float:
    """Return the images per second of the CNN alone."""
    from captioner.data.extractors import Extractor

    extractor = Extractor(config)
    shape = config.batch_size, extractor.side, extractor.side, 3
    squares_BxSxSx3 = np.random.default_rng(0).random(shape, np.float32) * 255
    return config.batch_size / measure_seconds(lambda: extractor.extract(squares_BxSxSx3), repetitions=5)


if __name__ == "__main__":
    main()
