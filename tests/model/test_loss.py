"""The cross entropy in pieces is the plain one, and so are its gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner.model.loss import cross_entropy

WIDTH, VOCABULARY = 5, 11


class Output(keras.Model):
    """Only an output layer and its loss, so that a step of SGD shows the gradients."""

    def __init__(self, hidden_XxRxW: np.ndarray, loss):
        super().__init__()
        random = np.random.default_rng(1)
        self.loss_of = loss
        values = hidden_XxRxW, random.normal(size=(VOCABULARY, WIDTH)), random.normal(size=VOCABULARY)
        names = ("hidden", "kernel", "bias")
        for name, value in zip(names, values, strict=True):
            setattr(self, name, self.add_weight(shape=value.shape, name=name))
            getattr(self, name).assign(value.astype("float32"))

    def call(self, targets):
        return self.hidden + 0 * ops.cast(targets[..., None], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.loss_of(
            y_pred, ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias), y, sample_weight
        )


def plain(smoothing: float):
    """The same loss with all logits at once, the smoothed target written out."""

    def loss(hidden_XxRxW, kernel_VxW, bias_V, targets_XxR, weights_XxR):
        logits_XxRxV = ops.matmul(hidden_XxRxW, ops.transpose(kernel_VxW)) + bias_V
        aim_XxRxV = (1 - smoothing) * ops.one_hot(targets_XxR, VOCABULARY) + smoothing / VOCABULARY
        loss_XxR = keras.losses.categorical_crossentropy(aim_XxRxV, logits_XxRxV, from_logits=True)
        return ops.sum(loss_XxR * weights_XxR) / ops.sum(weights_XxR)

    return loss


@settings(max_examples=10)
@given(
    pieces=st.integers(1, 4),
    words=st.integers(1, 6),
    smoothing=st.sampled_from([0.0, 0.1]),
    scale=st.sampled_from([1.0, 1000.0]),
    seed=st.integers(0, 99),
)
def test_loss_and_gradients_are_those_of_all_logits_at_once(pieces, words, smoothing, scale, seed):
    """Logits of a few thousands too, whose exponents no float32 holds."""
    random = np.random.default_rng(seed)
    hidden_XxRxW = scale * random.normal(size=(pieces, words, WIDTH))
    targets_XxR = random.integers(0, VOCABULARY, (pieces, words)).astype("int32")
    weights_XxR = random.integers(0, 2, (pieces, words)).astype("float32")
    weights_XxR[0, 0] = 1

    def in_pieces(*values):
        return cross_entropy(*values, smoothing)

    found, expected = (Output(hidden_XxRxW, loss) for loss in (in_pieces, plain(smoothing)))
    losses = []
    for model in (found, expected):
        model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=True)
        losses.append(float(model.train_on_batch(targets_XxR, targets_XxR, weights_XxR)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(found.trainable_weights, expected.trainable_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)
