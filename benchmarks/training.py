"""Measure training with cached features; the baselines are the notebook and the peak of matrix products.

    PYTHONPATH=src python benchmarks/training.py

The settings are those of the notebook: a vocabulary of 20,000 and widths of 512; a step has about 256 pairs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import measure_seconds
from result import compare, compare_speed, print_results
from synthetic_data import CAPTIONS_PER_IMAGE, MEAN_LENGTH, make_captions, write_features
from untrained_model import COCO_MAX_LENGTH, compile_captioner, count_required_operations, make_params, train_epoch

from captioner.common.backend import use_backend
from captioner.config.params import Params, check_params

MATRIX_SIDE = 4096  # of the matrices whose product measures the machine's peak


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--images", type=int, default=51, help="per step of the captioner, with five captions each")
    parser.add_argument("--pairs", type=int, default=16, help="image-caption pairs per step of the notebook")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--backend", default="tensorflow", choices=["tensorflow", "jax"])
    options = parser.parse_args()
    use_backend(options.backend)
    params = make_published_params(options.vocab_size, options.width, options.images, options.backend)
    with TemporaryDirectory() as folder:
        step, operations = measure_step(params, options.steps, Path(folder))
        tiny_vocabulary = check_params(
            params.model_dump() | {"text": {"vocab_size": 16, "max_length": COCO_MAX_LENGTH}}
        )
        without_output, _ = measure_step(tiny_vocabulary, options.steps, Path(folder))
    pair = step / (options.images * CAPTIONS_PER_IMAGE)
    notebook_pair = measure_notebook_step(options.vocab_size, options.width, options.pairs) / options.pairs
    rate, peak = operations / step / 1e9, measure_matrix_peak() / 1e9
    whole = "step", step
    print_results(
        [
            compare_speed("training, per pair", pair, ("notebook", notebook_pair), 25),
            compare("training, share of the matrix product peak", "GFLOP/s", rate, ("peak", peak), 0.5),
            compare("of a training step: output layer and softmax", "s", step - without_output, whole),
            compare("of a training step: GRU, attention, projection", "s", without_output, whole),
        ]
    )


def make_published_params(vocab_size: int, width: int, images: int, backend: str) -> Params:
    """Return the parameters of ``experiment=seed``, at other sizes."""
    model = {"attention": "luong", "initial_state": "zeros", "tie_embeddings": False, "dropout": 0.0}
    train = {"backend": backend, "batch_size": images, "schedule": "constant", "clip_norm": None}
    train |= dict.fromkeys(("warmup_epochs", "label_smoothing", "word_dropout", "weight_decay"), 0.0)
    return make_params(vocab_size, COCO_MAX_LENGTH, width, model=model, train=train)


def measure_step(params: Params, steps: int, folder: Path) -> tuple[float, float]:
    """Return the seconds of a step, input included, and the operations that it needs without padding."""
    from captioner.train.input_pipeline import InputPipeline

    images = params.train.batch_size * steps
    features_NxPxC = write_features(folder / "features.npy", images)
    captions = make_captions(images, params.text.vocab_size)
    pipeline = InputPipeline(features_NxPxC, captions, params.train.batch_size)
    model = compile_captioner(params, len(pipeline))
    seconds = measure_seconds(lambda: train_epoch(model, pipeline)) / steps
    return seconds, count_required_operations(params, images, len(captions.ids)) / steps


def measure_notebook_step(vocab_size: int, width: int, pairs: int) -> float:
    """Return the seconds of a step of the notebook."""
    import keras
    import notebook_baseline

    cnn = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(299, 299, 3))
    network, *_ = notebook_baseline.build(cnn, vocab_size, width)
    random = np.random.default_rng(0)
    images_BxSxSx3 = random.random((pairs, 299, 299, 3), np.float32)
    ids_BxT = np.zeros((pairs, notebook_baseline.LENGTH), np.int32)
    ids_BxT[:, : MEAN_LENGTH + 2] = random.integers(4, vocab_size, (pairs, MEAN_LENGTH + 2))
    return measure_seconds(lambda: notebook_baseline.train_step(network, images_BxSxSx3, ids_BxT), repetitions=2)


def measure_matrix_peak() -> float:
    """Return the operations per second that this machine reaches in a float32 matrix product."""
    import keras
    from keras import ops

    a, b = (keras.random.normal((MATRIX_SIDE, MATRIX_SIDE), seed=seed) for seed in (1, 2))
    product_seconds = measure_seconds(lambda: ops.convert_to_numpy(ops.matmul(a, b)[0, 0]), repetitions=7)
    return 2 * MATRIX_SIDE**3 / product_seconds


if __name__ == "__main__":
    main()
