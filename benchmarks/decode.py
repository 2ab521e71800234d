"""Measure captioning with cached features; the baseline is the notebook: one image, one word at a time.

    PYTHONPATH=src python benchmarks/decode.py

An untrained network does not predict the end token at realistic positions, so every caption is forced to the mean
length of COCO's captions.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import measure_seconds
from result import check_limit, compare_speed, print_results
from synthetic_data import MEAN_LENGTH, write_features
from untrained_model import make_params, measure_captioning

from captioner.common.backend import use_backend
from captioner.config.params import Params


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--images", type=int, default=256, help="for the comparison with the notebook")
    parser.add_argument("--beam-images", type=int, default=5_000, help="for the throughput with a vocabulary of 10,000")
    parser.add_argument("--backend", default="tensorflow", choices=["tensorflow", "jax"])
    options = parser.parse_args()
    use_backend(options.backend)
    with TemporaryDirectory() as folder:
        features_NxPxC = write_features(Path(folder) / "features.npy", options.beam_images)
        first = features_NxPxC[: options.images]
        top_k, beam = (
            measure_captioning(make_fixed_length_params(options.vocab_size, options.width, strategy), first)
            / len(first)
            for strategy in ("top_k", "beam")
        )
        total = measure_captioning(make_fixed_length_params(10_000, options.width, "beam"), features_NxPxC)
    notebook = "notebook", measure_notebook(options.vocab_size, options.width)
    max_seconds = 60 * options.beam_images / 5_000
    print_results(
        [
            compare_speed("captioning an image, top-k", top_k, notebook, 100),
            compare_speed("captioning an image, beam size 3", beam, notebook, 60),
            check_limit(f"captioning {options.beam_images} images, beam size 3", "s", total, max_seconds),
        ]
    )


def make_fixed_length_params(vocab_size: int, width: int, strategy: str) -> Params:
    """Return parameters with which all captions have `MEAN_LENGTH` words."""
    model = {"tie_embeddings": False, "initial_state": "zeros"}
    decode = {"strategy": strategy, "beam_size": 3, "top_k": 10, "min_length": MEAN_LENGTH}
    return make_params(vocab_size, MEAN_LENGTH, width, model=model, decode=decode)


def measure_notebook(vocab_size: int, width: int) -> float:
    """Return the seconds that the notebook takes per image."""
    import keras
    import notebook_baseline

    cnn = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(299, 299, 3))
    _, encoder, decoder = notebook_baseline.build(cnn, vocab_size, width)
    random = np.random.default_rng(0)
    image_SxSx3 = random.random((299, 299, 3), np.float32)
    return measure_seconds(
        lambda: notebook_baseline.caption(encoder, decoder, image_SxSx3, MEAN_LENGTH, random), repetitions=5
    )


if __name__ == "__main__":
    main()
