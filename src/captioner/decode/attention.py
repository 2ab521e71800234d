"""The attention of captions that are already generated, for figures and for the served model.

In array names, as in `captioner.decode.strategy`, N and B count images, T tokens with ``<end>``, P grid positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from captioner.decode.strategy import run_padded
from captioner.model.network import Captioner
from captioner.text.vocabulary import PAD, START, Vocabulary

# Captions per call; additive attention needs an array of positions x width for each of their tokens.
BATCH_SIZE = 16


class CaptionAttention(keras.Model):
    """Computes the attention of one caption per image, all its tokens at once, in one compiled graph.

    A caption has at most ``max_length`` words.
    """

    def __init__(self, network: Captioner, max_length: int) -> None:
        super().__init__()
        self.network = network
        self.steps = max_length + 1

    def build(self, _shape: Any) -> None:
        """Create no weights: the network has all of them."""
        self.built = True

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return ``attention`` [B, T, P] for ``features`` [B, P, C] and ``input_ids`` [B, T]."""
        input_ids_Bx1xT = ops.expand_dims(inputs["input_ids"], 1)
        return {"attention": self.network.attention_weights(inputs["features"], input_ids_Bx1xT)[:, 0]}


def compute_attention(
    model: CaptionAttention, vocabulary: Vocabulary, features_NxPxC: np.ndarray, captions: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Return attention weights [T, P], float32, for each of N captions: a row per word, and a last row for ``<end>``.

    The features of each caption's image are float16. A single caption is a batch; more are in batches of `BATCH_SIZE`,
    the last one padded. So two graphs are compiled at most.
    """
    batch_size = BATCH_SIZE if len(captions) > 1 else 1
    input_ids_NxT = np.full((len(captions), model.steps), PAD, np.int32)
    for row, words in enumerate(captions):
        input_ids_NxT[row, : len(words) + 1] = [START, *vocabulary.encode(words, len(words))[:-1]]
    attention: list[np.ndarray] = []
    for start in range(0, len(captions), batch_size):
        batch = slice(start, start + batch_size)
        inputs = {"features": features_NxPxC[batch], "input_ids": input_ids_NxT[batch]}
        weights_BxTxP = run_padded(model, inputs, batch_size)["attention"]
        lengths = [len(words) + 1 for words in captions[batch]]
        attention += [weights_TxP[:length] for weights_TxP, length in zip(weights_BxTxP, lengths, strict=True)]
    return attention
