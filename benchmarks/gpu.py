"""Measure work of COCO's size on one GPU: an epoch of training and 5,000 captions, on jax, without tensorflow.

    PYTHONPATH=src python benchmarks/gpu.py

Features and captions are synthetic: 113,287 images of 64 x 1536 float16, 22 GB on disk, with five captions each. The
first epoch compiles; the second one is measured. ``--images 500`` is a size for any machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from decode import make_fixed_length_params
from measure import measure_in_subprocess, time_call
from result import Result, check_limit, compare, print_results
from synthetic_data import make_captions, write_features
from training import measure_matrix_peak
from untrained_model import (
    COCO_MAX_LENGTH,
    compile_captioner,
    count_required_operations,
    make_params,
    measure_captioning,
    train_epoch,
)

from captioner.common.backend import use_backend
from captioner.config.params import Params

SETTINGS = ("deterministic", "nondeterministic", "resident")  # resident: deterministic, the features are on the GPU


def main() -> None:
    """Print the results, or with ``--measure`` the values of one setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=113_287)
    parser.add_argument("--captions", type=int, default=5_000, help="images to caption")
    parser.add_argument("--batch-size", type=int, default=256, help="images per step, with five captions each")
    parser.add_argument("--vocab-size", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="for the features; the default is a temporary folder")
    parser.add_argument("--measure", choices=SETTINGS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_setting(options)))
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        write_features(Path(folder) / "features.npy", options.images)
        measured = {
            setting: measure_in_subprocess(__file__, *sys.argv[1:], "--measure", setting, "--folder", folder)
            for setting in SETTINGS
        }
    print_results(make_results(measured, options.images, options.captions))


def make_results(measured: dict[str, dict[str, float]], images: int, captions: int) -> list[Result]:
    """Return the results of all settings; ``measured`` holds the values of `measure_setting` by setting."""
    streamed, nondeterministic, resident = (measured[setting] for setting in SETTINGS)
    return [
        check_limit(f"an epoch of {images} images, features streamed", "s", streamed["epoch"], 10),
        check_limit("an epoch, features resident on the GPU", "s", resident["epoch"], 10),
        check_limit(f"{captions} captions, beam size 3", "s", streamed["captions"], 5),
        compare("an epoch, deterministic", "s", streamed["epoch"], ("nondeterministic", nondeterministic["epoch"])),
        *(
            compare(f"an epoch, features {name}, share of the peak", "flop/s", values["rate"], ("peak", values["peak"]))
            for name, values in (("streamed", streamed), ("resident", resident))
        ),
    ]


def measure_setting(options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of an epoch and of the captions, and the epoch's rate and the peak in flop/s."""
    use_backend("jax", deterministic=options.measure != "nondeterministic")
    import jax

    features_NxPxC = np.load(options.folder / "features.npy", mmap_mode="r")
    train = {"backend": "jax", "batch_size": options.batch_size}
    params = make_params(options.vocab_size, COCO_MAX_LENGTH, options.width, train=train)
    resident = options.measure == "resident"
    epoch, operations = train_two_epochs(params, jax.device_put(features_NxPxC) if resident else features_NxPxC)
    beam = make_fixed_length_params(options.vocab_size, options.width, "beam")
    captions = measure_captioning(beam, features_NxPxC[: options.captions])
    return {"epoch": epoch, "captions": captions, "peak": measure_matrix_peak(), "rate": operations / epoch}


def train_two_epochs(params: Params, features_NxPxC: Any) -> tuple[float, float]:
    """Return the seconds of the second epoch and the operations that it needs."""
    import keras

    from captioner.train.input_pipeline import InputPipeline

    keras.utils.set_random_seed(0)
    captions = make_captions(len(features_NxPxC), params.text.vocab_size)
    pipeline = InputPipeline(features_NxPxC, captions, params.train.batch_size)
    model = compile_captioner(params, len(pipeline))
    _, seconds = (time_call(lambda: train_epoch(model, pipeline)) for _ in range(2))
    return seconds, count_required_operations(params, len(features_NxPxC), len(captions.ids))


if __name__ == "__main__":
    main()
