"""Counting: the operations in the graphs of training and decoding beside those that real words need.

    PYTHONPATH=src python benchmarks/counting.py

No clock, and on every machine the same figures: a test holds them.
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import made_up
import numpy as np
from rows import Row, give
from training import CHANNELS, POSITIONS, a_token, operations, seed_params

from captioner.backend import use_backend
from captioner.config import Params

STEPS = 4


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--pictures", type=int, default=51)
    options = parser.parse_args()
    options.backend = "jax"
    use_backend("jax")
    params = seed_params(options)
    give([*training(params), decoding(params)])


def training(params: Params) -> list[Row]:
    """Of an epoch of a few steps."""
    import jax

    from captioner.model.batches import Batches
    from captioner.model.fit import make_optimizer
    from captioner.model.network import Captioner

    size, words = params.train.batch_size, params.text.vocab_size
    with TemporaryDirectory() as folder:
        features_NxPxC = made_up.features(Path(folder) / "features.npy", STEPS * size, POSITIONS, CHANNELS)
        batches = Batches(features_NxPxC, made_up.captions(STEPS * size, words), size)
        data = [(batch.inputs, batch.targets_XxR, batch.weights_XxR) for batch in batches.shuffled(1)]
    model = Captioner(params.model, words)
    model.build_for(POSITIONS, CHANNELS)
    model.compile(make_optimizer(params, STEPS))
    model.optimizer.build(model.trainable_variables)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = [[variable.value for variable in group] for group in groups]
    graphs = [jax.make_jaxpr(model.train_step)(state, step).jaxpr for step in data]
    done = sum(map(operations_in, graphs))
    tokens = len(batches.captions.ids)
    needed = operations(params, STEPS * size, tokens)
    largest, logits = max(map(largest_in, graphs)), tokens / STEPS * words
    return [
        Row("operations of training", done / 1e9, "G", "needed", needed / 1e9, done / needed, 1.1, at_most=True),
        Row("largest array of training", largest / 1e6, "M", "all logits", logits / 1e6, largest / logits, 0.25, True),
    ]


def decoding(params: Params) -> Row:
    """Of encoding a batch of pictures and of the first word of their beams."""
    import jax

    from captioner.decode.captions import make_search
    from captioner.model.network import Captioner

    network = Captioner(params.model, params.text.vocab_size)
    network.build_for(POSITIONS, CHANNELS)
    pictures, beams = params.train.batch_size, 3
    search = make_search(network, params.decode.model_copy(update={"beam_size": beams, "strategy": "beam"}), 11)
    features_BxPxC = np.zeros((pictures, POSITIONS, CHANNELS), np.float16)
    done = operations_in(jax.make_jaxpr(search)({"features": features_BxPxC}).jaxpr)
    projected = pictures * POSITIONS * CHANNELS * params.model.attention_dim
    needed = 2 * (pictures * beams * a_token(params) + projected)
    return Row(
        "operations of a beam's word", done / 1e9, "G", "needed", needed / 1e9, done / needed, 1.01, at_most=True
    )


def operations_in(graph: Any) -> float:
    """Multiplications and additions in the matrix products of a jaxpr; of an open-ended loop, those of one turn."""
    total = 0.0
    for step in graph.eqns:
        if step.primitive.name == "dot_general":
            (contracted, _), _ = step.params["dimension_numbers"]
            shape = step.invars[0].aval.shape
            total += 2 * prod(step.outvars[0].aval.shape) * prod(shape[axis] for axis in contracted)
        turns = step.params["length"] if step.primitive.name == "scan" else 1
        total += turns * sum(map(operations_in, graphs_in(step)))
    return total


def largest_in(graph: Any) -> float:
    """Values in the largest array that any step of a jaxpr makes."""
    made = (prod(made.aval.shape) for step in graph.eqns for made in step.outvars)
    return max([*made, *(largest_in(inner) for step in graph.eqns for inner in graphs_in(step))], default=0)


def graphs_in(step: Any) -> list[Any]:
    """The jaxprs that a step calls."""
    flat = [each for value in step.params.values() for each in (value if isinstance(value, tuple | list) else [value])]
    return [getattr(each, "jaxpr", each) for each in flat if hasattr(each, "eqns") or hasattr(each, "jaxpr")]


if __name__ == "__main__":
    main()
