"""The chunked cross entropy and its gradients equal those computed from all logits at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner.model.chunked_loss import chunked_cross_entropy

WIDTH, VOCAB_SIZE = 5, 11


class OutputLayer(keras.Model):
    """An output layer whose hidden values are weights too, so that a step of SGD shows all gradients."""

    def __init__(self, hidden_XxRxW: np.ndarray, loss_function):
        super().__init__()
        generator = np.random.default_rng(1)
        self.loss_function = loss_function
        values = hidden_XxRxW, generator.normal(size=(VOCAB_SIZE, WIDTH)), generator.normal(size=VOCAB_SIZE)
        names = ("hidden", "kernel", "bias")
        for name, value in zip(names, values, strict=True):
            setattr(self, name, self.add_weight(shape=value.shape, name=name))
            getattr(self, name).assign(value.astype("float32"))

    def call(self, targets):
        return self.hidden + 0 * ops.cast(targets[..., None], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.loss_function(
            y_pred, ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias), y, sample_weight
        )


def full_cross_entropy(smoothing: float):
    """Return the loss function that computes all logits at once, with explicit smoothed targets."""

    def loss_function(hidden_XxRxW, kernel_VxW, bias_V, targets_XxR, weights_XxR):
        logits_XxRxV = ops.matmul(hidden_XxRxW, ops.transpose(kernel_VxW)) + bias_V
        smoothed_XxRxV = (1 - smoothing) * ops.one_hot(targets_XxR, VOCAB_SIZE) + smoothing / VOCAB_SIZE
        loss_XxR = keras.losses.categorical_crossentropy(smoothed_XxRxV, logits_XxRxV, from_logits=True)
        return ops.sum(loss_XxR * weights_XxR) / ops.sum(weights_XxR)

    return loss_function


@settings(max_examples=10)
@given(
    chunks=st.integers(1, 4),
    tokens=st.integers(1, 6),
    smoothing=st.sampled_from([0.0, 0.1]),
    scale=st.sampled_from([1.0, 1000.0]),
    seed=st.integers(0, 99),
)
def test_loss_and_gradients_equal_those_of_the_full_cross_entropy(chunks, tokens, smoothing, scale, seed):
    """The larger scale gives logits in the thousands, whose exponentials overflow float32."""
    generator = np.random.default_rng(seed)
    hidden_XxRxW = scale * generator.normal(size=(chunks, tokens, WIDTH))
    targets_XxR = generator.integers(0, VOCAB_SIZE, (chunks, tokens)).astype("int32")
    weights_XxR = generator.integers(0, 2, (chunks, tokens)).astype("float32")
    weights_XxR[0, 0] = 1

    def chunked(*values):
        return chunked_cross_entropy(*values, smoothing)

    actual, expected = (OutputLayer(hidden_XxRxW, loss) for loss in (chunked, full_cross_entropy(smoothing)))
    losses = []
    for model in (actual, expected):
        model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=True)
        losses.append(float(model.train_on_batch(targets_XxR, targets_XxR, weights_XxR)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for weight, expected_weight in zip(actual.trainable_weights, expected.trainable_weights, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4, atol=1e-5 * scale)
