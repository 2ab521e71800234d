"""Training and captioning with an untrained network of any size, and the operations that they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import time_call
from synthetic_data import CHANNELS, POSITIONS, make_vocabulary

from captioner.config.params import Params, check_params, read_params

if TYPE_CHECKING:
    from captioner.model.network import Captioner
    from captioner.train.input_pipeline import InputPipeline

COCO_MAX_LENGTH = 62


def make_params(vocab_size: int, max_length: int, width: int, **changes: dict[str, Any]) -> Params:
    """Return the workspace's parameters with other sizes; ``width`` is that of attention, embedding and GRU.

    ``changes`` are other keys by section, for instance ``train={"batch_size": 51}``.
    """
    tree: dict[str, Any] = read_params().model_dump()
    tree["text"] |= {"vocab_size": vocab_size, "max_length": max_length}
    tree["model"] |= dict.fromkeys(("attention_dim", "embedding_dim", "units"), width)
    for section, values in changes.items():
        tree[section] |= values
    return check_params(tree)


def compile_captioner(params: Params, steps_per_epoch: int) -> Captioner:
    """Return a network that can be trained."""
    import keras

    from captioner.train.optimizer import make_optimizer

    model = build_captioner(params)
    optimizer = make_optimizer(params.train, steps_per_epoch)
    model.compile(optimizer, jit_compile=keras.backend.backend() == "jax")
    return model


def build_captioner(params: Params) -> Captioner:
    """Return an untrained network."""
    from captioner.model.network import Captioner

    model = Captioner(params.model, params.text.vocab_size, params.train.label_smoothing)
    model.build_for(POSITIONS, CHANNELS)
    return model


def train_epoch(model: Captioner, pipeline: InputPipeline) -> None:
    """Train on every image once; each step waits for its loss, as in training."""
    for batch in pipeline.shuffled(1):
        float(model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))


def make_captioning(params: Params) -> Callable[[np.ndarray], None]:
    """Return a function that captions features [images, positions, channels] with an untrained network."""
    from captioner.decode.generate import generate_captions, make_strategy

    search = make_strategy(build_captioner(params), params.decode, params.text.max_length)
    vocabulary = make_vocabulary(params.text.vocab_size)

    def caption(features_NxPxC: np.ndarray) -> None:
        seeds = [(0, row) for row in range(len(features_NxPxC))]
        generate_captions(search, vocabulary, features_NxPxC, seeds, params.decode.batch_size)

    return caption


def measure_captioning(params: Params, features_NxPxC: np.ndarray) -> float:
    """Return the seconds to caption all images, without compilation."""
    caption = make_captioning(params)
    caption(features_NxPxC[: params.decode.batch_size])
    return time_call(lambda: caption(features_NxPxC))


def count_required_operations(params: Params, images: int, tokens: int) -> float:
    """Return the multiplications and additions in the matrix products of forward and backward pass, without padding.

    The backward pass costs twice the forward pass: once for the inputs and once for the weights. The features, which
    are inputs, have no gradient.
    """
    return 2 * (3 * tokens * count_token_multiplications(params) + 2 * count_projection_multiplications(params, images))


def count_projection_multiplications(params: Params, images: int) -> int:
    """Return the multiplications that project the features of ``images`` to the dimension of attention."""
    return images * POSITIONS * CHANNELS * params.model.attention_dim


def count_token_multiplications(params: Params) -> int:
    """Return the multiplications of the forward pass for one token: GRU, Luong attention, output layer."""
    model = params.model
    attention = 2 * POSITIONS * model.attention_dim
    return 3 * model.units * (model.embedding_dim + model.units) + attention + model.units * params.text.vocab_size
