"""Measure how train and sample scale: seconds per image and memory with 1,000 and 20,000 images.

    PYTHONPATH=src python benchmarks/scaling.py

The features are synthetic and of the size of COCO's, 64 x 1,536 per image. Each measurement is a new process. Memory is
anonymous memory: the memory-mapped file of the features is not counted.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import measure_in_subprocess, measure_memory, time_call
from result import check_limit, compare, print_results
from synthetic_data import MEAN_LENGTH, make_captions, write_features
from untrained_model import compile_captioner, make_captioning, make_params, train_epoch

from captioner.common.backend import use_backend
from captioner.config.params import Params

VOCAB_SIZE, WIDTH = 1_000, 128
WARM_UP_IMAGES = 640  # enough for batches of every length, which are compiled separately


def main() -> None:
    """Print the results, or with ``--measure STAGE IMAGES`` the seconds and the peak memory of one stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs=2, default=[1_000, 20_000])
    parser.add_argument("--measure", nargs=2, metavar=("STAGE", "IMAGES"))
    options = parser.parse_args()
    if options.measure:
        stage, images = options.measure
        print(json.dumps(measure_stage(stage, int(images))))
        return
    small, large = options.images
    results = []
    for stage in ("train", "sample"):
        (small_seconds, _), (large_seconds, memory) = (
            measure_in_subprocess(__file__, "--measure", stage, str(images)) for images in options.images
        )
        baseline = f"per image, {small} images", small_seconds / small
        results.append(
            compare(f"{stage}, per image, {large} images", "s", large_seconds / large, baseline, 1.1, at_most=True)
        )
        results.append(check_limit(f"{stage}, memory with {large} images", "MB", memory, 4_000))
    print_results(results)


def measure_stage(stage: str, images: int) -> tuple[float, float]:
    """Return the seconds of one pass over all images, without compilation, and the peak memory in MB."""
    use_backend("tensorflow")
    decode = {"strategy": "beam", "beam_size": 3, "min_length": MEAN_LENGTH}
    params = make_params(VOCAB_SIZE, MEAN_LENGTH, WIDTH, decode=decode)
    run = {"train": make_training, "sample": make_captioning}[stage](params)
    with TemporaryDirectory() as folder, PeakMemory() as peak:
        features_NxPxC = write_features(Path(folder) / "features.npy", images)
        run(features_NxPxC[:WARM_UP_IMAGES])
        seconds = time_call(lambda: run(features_NxPxC))
    return seconds, peak.megabytes


def make_training(params: Params) -> Callable[[np.ndarray], None]:
    """Return a function that trains on features [images, positions, channels] for one epoch."""
    from captioner.train.input_pipeline import InputPipeline

    model = compile_captioner(params, steps_per_epoch=100)

    def train(features_NxPxC: np.ndarray) -> None:
        captions = make_captions(len(features_NxPxC), VOCAB_SIZE)
        train_epoch(model, InputPipeline(features_NxPxC, captions, params.train.batch_size))

    return train


class PeakMemory:
    """The peak memory of this process in ``megabytes``, sampled 20 times per second."""

    def __enter__(self) -> PeakMemory:
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.megabytes = max(self.megabytes, measure_memory())


if __name__ == "__main__":
    main()
