"""Count the operations in the graphs of training and decoding, and compare with the minimum without padding.

    PYTHONPATH=src python benchmarks/flops.py

No time is measured: the counts are equal on all machines, and a test checks them.
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from result import Result, compare, print_results
from synthetic_data import CHANNELS, MEAN_LENGTH, POSITIONS, make_captions, write_features
from training import make_published_params
from untrained_model import (
    build_captioner,
    compile_captioner,
    count_projection_multiplications,
    count_required_operations,
    count_token_multiplications,
)

from captioner.common.backend import use_backend
from captioner.config.params import Params

STEPS = 4
BEAM_SIZE = 3


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--images", type=int, default=51)
    options = parser.parse_args()
    use_backend("jax")
    params = make_published_params(options.vocab_size, options.width, options.images, "jax")
    print_results([*count_training(params), count_decoding(params)])


def count_training(params: Params) -> list[Result]:
    """Count the operations, and the values of the largest array, of an epoch of `STEPS` steps."""
    import jax

    from captioner.train.input_pipeline import InputPipeline

    images, vocab_size = STEPS * params.train.batch_size, params.text.vocab_size
    captions = make_captions(images, vocab_size)
    with TemporaryDirectory() as folder:
        features_NxPxC = write_features(Path(folder) / "features.npy", images)
        pipeline = InputPipeline(features_NxPxC, captions, params.train.batch_size)
        batches = [(batch.inputs, batch.targets_XxR, batch.weights_XxR) for batch in pipeline.shuffled(1)]
    model = compile_captioner(params, STEPS)
    model.optimizer.build(model.trainable_variables)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = [[variable.value for variable in group] for group in groups]
    graphs = [jax.make_jaxpr(model.train_step)(state, batch).jaxpr for batch in batches]
    operations = sum(map(count_operations, graphs))
    tokens = len(captions.ids)
    minimum = count_required_operations(params, images, tokens)
    largest, logits = max(map(find_largest_array, graphs)), tokens / STEPS * vocab_size
    return [
        compare("operations of training", "G", operations / 1e9, ("minimum", minimum / 1e9), 1.1, at_most=True),
        compare("largest array of training", "M", largest / 1e6, ("all logits", logits / 1e6), 0.25, at_most=True),
    ]


def count_decoding(params: Params) -> Result:
    """Count the operations of encoding a batch of images and of the first step of their beam search."""
    import jax

    from captioner.decode.generate import make_strategy

    images = params.train.batch_size
    decode = params.decode.model_copy(update={"beam_size": BEAM_SIZE, "strategy": "beam"})
    search = make_strategy(build_captioner(params), decode, MEAN_LENGTH)
    features_BxPxC = np.zeros((images, POSITIONS, CHANNELS), np.float16)
    operations = count_operations(jax.make_jaxpr(search)({"features": features_BxPxC}).jaxpr)
    multiplications = images * BEAM_SIZE * count_token_multiplications(params)
    multiplications += count_projection_multiplications(params, images)
    minimum = "minimum", 2 * multiplications / 1e9
    return compare("operations of a beam search step", "G", operations / 1e9, minimum, 1.01, at_most=True)


def count_operations(graph: Any) -> float:
    """Return the multiplications and additions in a jaxpr's matrix products; a ``while`` loop counts as one turn."""
    total = 0.0
    for equation in graph.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * prod(equation.outvars[0].aval.shape) * prod(shape[axis] for axis in contracted)
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += turns * sum(map(count_operations, list_inner_graphs(equation)))
    return total


def find_largest_array(graph: Any) -> float:
    """Return the number of values in the largest array that an equation of a jaxpr computes."""
    sizes = [prod(output.aval.shape) for equation in graph.eqns for output in equation.outvars]
    inner = [find_largest_array(inner) for equation in graph.eqns for inner in list_inner_graphs(equation)]
    return max([*sizes, *inner], default=0)


def list_inner_graphs(equation: Any) -> list[Any]:
    """Return the jaxprs among the parameters of an equation."""
    values = [
        item for value in equation.params.values() for item in (value if isinstance(value, tuple | list) else [value])
    ]
    return [getattr(value, "jaxpr", value) for value in values if hasattr(value, "eqns") or hasattr(value, "jaxpr")]


if __name__ == "__main__":
    main()
