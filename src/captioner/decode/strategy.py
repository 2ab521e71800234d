"""The base class of the decoding strategies: beam search, greedy search and top-k sampling.

Each of them decodes a batch of images in one compiled graph, with tensorflow or jax.

In array names, B counts images, K captions per image (the beams), T decoding steps (max_length words and one for
``<end>``), P grid positions, C channels, V vocabulary entries; U is the width of the GRU, A that of the attention.
"""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from captioner.text.vocabulary import END, PAD, START, UNKNOWN

# A finite replacement of -inf in logits and log-probabilities, so that arithmetic never gives NaN.
LOG_ZERO = -1e9


class StepNetwork(Protocol):
    """The methods of a captioning network that decoding calls; see `captioner.model.network.Captioner`."""

    vocab_size: int

    def encode(self, features_BxPxC: Any) -> tuple[Any, Any]: ...

    def step(self, ids_BxK: Any, states_BxKxU: Any, keys_BxPxA: Any) -> tuple[Any, Any]: ...


class DecodingStrategy(keras.Model):
    """Masks forbidden tokens, and updates the arrays of a decoding loop, which calls the network once per step.

    The lengths count words. Only ``<end>`` is allowed in the step after ``max_length`` words.
    """

    def __init__(self, network: StepNetwork, max_length: int, min_length: int) -> None:
        super().__init__()
        self.network = network
        self.steps = max_length + 1
        self.min_length = min(min_length, max_length)

    def build(self, _shape: Any) -> None:
        """Create no weights: the network has all of them."""
        self.built = True

    def log_probabilities(self, logits_BxKxV: Any, step: Any) -> Any:
        """Return the network's log p of the next token [B, K, V], with `LOG_ZERO` for those forbidden at this step.

        The softmax is over all tokens. Over the allowed ones alone, the share of a forbidden token would go to the
        others, and captions would score highest where the network is sure of ``<unk>``.
        """
        id_V = ops.arange(self.network.vocab_size)
        is_end = id_V == END
        forbidden = (id_V == PAD) | (id_V == UNKNOWN) | (id_V == START) | (is_end & (step < self.min_length))
        forbidden = forbidden | (~is_end & (step >= self.steps - 1))
        return ops.where(forbidden, LOG_ZERO, ops.log_softmax(logits_BxKxV, axis=-1))

    def with_ids_at(self, ids_BxKxT: Any, step: Any, new_BxK: Any) -> Any:
        """Return a copy of the ids with those of ``step`` replaced. The axis K may be missing in all arrays."""
        is_step_T = ops.arange(self.steps) == step
        return ops.where(is_step_T, ops.expand_dims(new_BxK, -1), ids_BxKxT)


def run_padded(model: keras.Model, inputs: dict[str, np.ndarray], batch_size: int) -> dict[str, Any]:
    """Run a batch that is padded to ``batch_size`` with copies of its last row; return the outputs of its rows."""
    rows = len(next(iter(inputs.values())))
    row_numbers = np.arange(batch_size).clip(max=rows - 1)
    padded = {key: value[row_numbers] for key, value in inputs.items()}
    return {key: value[:rows] for key, value in model.predict_on_batch(padded).items()}
