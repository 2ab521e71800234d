"""Training: seconds an image-caption pair over cached features, beside the recipe and what the matrix peak would allow.

    PYTHONPATH=src python benchmarks/training.py

At the recipe's own settings: a vocabulary of 20,000, widths of 512, about 256 pairs a step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import made_up
import numpy as np
from rows import Row, faster, give, seconds_of

from captioner.backend import use_backend
from captioner.config import Params, check_params, read_params

POSITIONS, CHANNELS = 64, 1536  # InceptionResNetV2's grid
MATRIX = 4096  # a side of the square matrices whose product tells the machine's peak


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--pictures", type=int, default=51, help="a step of ours, with five captions each")
    parser.add_argument("--pairs", type=int, default=16, help="a step of the recipe")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--backend", default="tensorflow", choices=["tensorflow", "jax"])
    options = parser.parse_args()
    use_backend(options.backend)
    params = seed_params(options)
    with TemporaryDirectory() as folder:
        step, pairs, flops = ours(params, options.steps, Path(folder))
        small = check_params(params.model_dump() | {"text": {"vocab_size": 16, "max_length": 62}})
        without_output, *_ = ours(small, options.steps, Path(folder))
    peak = matrix_peak()
    rows = [
        faster("training, a pair", step / pairs, "s", "the recipe", recipe_step(options) / options.pairs, 25),
        Row(
            "training, share of the matrix peak",
            flops / step / 1e9,
            "GFLOP/s",
            "peak",
            peak / 1e9,
            flops / step / peak,
            0.5,
        ),
    ]
    parts = {"output layer and softmax": step - without_output, "GRU, attention, projection": without_output}
    rows += [Row(f"of a training step: {name}", part, "s", "step", step, part / step) for name, part in parts.items()]
    give(rows)


def seed_params(options: argparse.Namespace) -> Params:
    """``experiment=seed``, at the sizes of the options."""
    tree: dict[str, Any] = read_params().model_dump()
    tree["text"] |= {"vocab_size": options.vocab_size, "max_length": 62}
    widths = dict.fromkeys(("attention_dim", "embedding_dim", "units"), options.width)
    tree["model"] |= {"attention": "luong", "initial_state": "zeros", "tie_embeddings": False, "dropout": 0.0, **widths}
    tree["train"] |= {"backend": options.backend, "batch_size": options.pictures, "schedule": "constant"}
    tree["train"] |= dict.fromkeys(("warmup_epochs", "label_smoothing", "word_dropout", "weight_decay"), 0.0)
    return check_params(tree | {"train": tree["train"] | {"clip_norm": None}})


def ours(params: Params, steps: int, folder: Path) -> tuple[float, float, float]:
    """Seconds, pairs, and needed operations (of real words alone) of a step, input included."""
    import keras

    from captioner.model.batches import Batches
    from captioner.model.fit import make_optimizer
    from captioner.model.network import Captioner

    size, words = params.train.batch_size, params.text.vocab_size
    features_NxPxC = made_up.features(folder / "features.npy", size * steps, POSITIONS, CHANNELS)
    batches = Batches(features_NxPxC, made_up.captions(size * steps, words), size)
    model = Captioner(params.model, words)
    model.build_for(POSITIONS, CHANNELS)
    model.compile(make_optimizer(params, len(batches)), jit_compile=keras.backend.backend() == "jax")

    def epoch() -> None:
        for batch in batches.shuffled(1):
            float(model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))

    tokens = len(batches.captions.ids)
    return seconds_of(epoch) / steps, size * made_up.CAPTIONS, operations(params, size * steps, tokens) / steps


def operations(params: Params, pictures: int, tokens: int) -> float:
    """Multiplications and additions in the matrix products that training needs, forward and back.

    Back costs twice what forward costs: once for the inputs and once for the weights; features have no gradient.
    """
    projected = pictures * POSITIONS * CHANNELS * params.model.attention_dim
    return 2 * (3 * tokens * a_token(params) + 2 * projected)


def a_token(params: Params) -> int:
    """Multiplications forward for one word: the GRU, Luong's attention, the output layer."""
    model = params.model
    attention = 2 * POSITIONS * model.attention_dim
    return 3 * model.units * (model.embedding_dim + model.units) + attention + model.units * params.text.vocab_size


def recipe_step(options: argparse.Namespace) -> float:
    """Seconds of a step of the recipe."""
    import keras
    import seed_recipe

    cnn = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(299, 299, 3))
    network, *_ = seed_recipe.recipe(cnn, options.vocab_size, options.width)
    random = np.random.default_rng(0)
    pictures_BxSxSx3 = random.random((options.pairs, 299, 299, 3), np.float32)
    ids_BxT = np.zeros((options.pairs, seed_recipe.LENGTH), np.int32)
    ids_BxT[:, :13] = random.integers(4, options.vocab_size, (options.pairs, 13))
    return seconds_of(lambda: seed_recipe.step(network, pictures_BxSxSx3, ids_BxT), turns=2)


def matrix_peak() -> float:
    """The most operations a second that this machine reached in a float32 matrix product."""
    import keras
    from keras import ops

    a, b = (keras.random.normal((MATRIX, MATRIX), seed=seed) for seed in (1, 2))
    return 2 * MATRIX**3 / seconds_of(lambda: ops.convert_to_numpy(ops.matmul(a, b)[0, 0]), turns=7)


if __name__ == "__main__":
    main()
