"""The captioning network: a projected grid of features, a GRU, attention, and a softmax over the vocabulary.

After Xu et al. 2015, *Show, Attend and Tell*, with the attention behind the recurrence as in Luong et al. 2015
(figure 2): all steps of a known caption are then computed at once. In array names B counts pictures, K captions of
a picture, T words of a caption, P grid positions, C channels, A the attention's width, U the GRU's units, W the width
that the output layer sees, V entries of the vocabulary; a batch has X pieces of R real words.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from captioner import config
from captioner.model.loss import cross_entropy


class Captioner(keras.Model):
    """Gives what the output layer sees of each word, in training, or the logits of the next word, in decoding.

    Projections stand only where two widths differ or the parameters ask for one, so that
    ``experiment=seed`` has the parameters of the published recipe and no more.
    """

    def __init__(self, settings: config.Model, vocab_size: int, label_smoothing: float = 0.0) -> None:
        super().__init__(name="captioner")
        self.settings = settings
        self.vocab_size = vocab_size
        self.label_smoothing = label_smoothing
        layers = keras.layers
        self.project = layers.Dense(settings.attention_dim, activation="relu", name="project")
        self.embedding = layers.Embedding(vocab_size, settings.embedding_dim, name="embedding")
        self.gru = layers.GRU(settings.units, return_sequences=True, name="gru")
        self.first_state = (
            layers.Dense(settings.units, activation="tanh", name="first_state")
            if settings.initial_state == "image"
            else None
        )
        if settings.attention == "luong":
            self.attention: Any = layers.Attention(name="attention")
            self.query = self._dense_unless_equal(settings.units, settings.attention_dim, "query")
        else:
            self.attention = layers.AdditiveAttention(name="attention")
            self.query = layers.Dense(settings.attention_dim, name="query")
        self.context = self._dense_unless_equal(settings.attention_dim, settings.units, "context")
        self.norm = layers.LayerNormalization(name="norm")
        self.dropout = layers.Dropout(settings.dropout, name="dropout")
        width = settings.embedding_dim if settings.tie_embeddings else settings.units
        self.to_output = self._dense_unless_equal(settings.units, width, "to_output")
        self.output_layer = None if settings.tie_embeddings else layers.Dense(vocab_size, name="output")

    @staticmethod
    def _dense_unless_equal(width_in: int, width_out: int, name: str) -> keras.layers.Layer:
        if width_in == width_out:
            return keras.layers.Identity(name=name)
        return keras.layers.Dense(width_out, name=name)

    def build_for(self, positions: int, channels: int) -> None:
        """Creates all weights for pictures of ``positions`` x ``channels`` features."""
        if self.output_layer is None:
            self.output_bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="output_bias")
        else:
            self.output_layer.build((None, self.settings.units))
        self(
            {
                "features": ops.zeros((1, positions, channels), "float16"),
                "inputs": ops.zeros((1, 1, 2), "int32"),
                "where": ops.zeros((1, 1), "int32"),
            }
        )

    def encode(self, features_BxPxC: Any, training: bool = False) -> tuple[Any, Any]:
        """Projected features [B, P, A] and the GRU's first state [B, U]."""
        keys_BxPxA = self.dropout(self.project(ops.cast(features_BxPxC, "float32")), training=training)
        if self.first_state is None:
            return keys_BxPxA, ops.zeros((ops.shape(keys_BxPxA)[0], self.settings.units))
        return keys_BxPxA, self.first_state(ops.mean(keys_BxPxA, axis=1))

    def attend(self, states_BxQxU: Any, keys_BxPxA: Any, training: bool) -> tuple[Any, Any]:
        """What the output layer sees of each state [B, Q, U], and the attention's weights [B, Q, P]."""
        context_BxQxA, weights_BxQxP = self.attention(
            [self.query(states_BxQxU), keys_BxPxA], return_attention_scores=True, training=training
        )
        return self.norm(states_BxQxU + self.context(context_BxQxA)), weights_BxQxP

    def output(self) -> tuple[Any, Any]:
        """The output layer's kernel [V, W] and bias [V]."""
        if self.output_layer is None:
            return ops.convert_to_tensor(self.embedding.embeddings), ops.convert_to_tensor(self.output_bias)
        return ops.transpose(self.output_layer.kernel), ops.convert_to_tensor(self.output_layer.bias)

    def logits(self, hidden_xW: Any) -> Any:
        """Logits over the vocabulary for any number of leading axes."""
        if self.output_layer is not None:
            return self.output_layer(hidden_xW)
        return ops.matmul(hidden_xW, ops.transpose(self.embedding.embeddings)) + self.output_bias

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """What the output layer sees [X, R, W] of the real words of a batch of known captions.

        Args:
            inputs: ``features`` [B, P, C]; ``inputs`` [B, K, T], the ids that come before each word; ``where`` [X, R],
                the places of the real words in [B * K * T], so that no logit is computed for padding.
            training: whether to drop out.
        """
        keys_BxPxA, state_BxU = self.encode(inputs["features"], training)
        _, captions, steps = inputs["inputs"].shape
        pictures = ops.shape(inputs["inputs"])[0]
        steps = ops.shape(inputs["inputs"])[2] if steps is None else steps
        captions = ops.shape(inputs["inputs"])[1] if captions is None else captions
        words_MxTxE = self.embedding(ops.reshape(inputs["inputs"], (pictures * captions, steps)))
        words_MxTxE = self.dropout(words_MxTxE, training=training)
        state_MxU = ops.repeat(state_BxU, captions, axis=0)
        states_MxTxU = self.gru(words_MxTxE, initial_state=state_MxU, training=training)
        # A picture's captions stand side by side as queries, so its features are used where they lie.
        states_BxQxU = ops.reshape(states_MxTxU, (pictures, captions * steps, self.settings.units))
        hidden_BxQxU, _ = self.attend(states_BxQxU, keys_BxPxA, training)
        hidden_XxRxU = ops.take(ops.reshape(hidden_BxQxU, (-1, self.settings.units)), inputs["where"], axis=0)
        return self.to_output(self.dropout(hidden_XxRxU, training=training))

    def step(self, ids_BxK: Any, states_BxKxU: Any, keys_BxPxA: Any) -> tuple[Any, Any, Any]:
        """One word further for K captions of each picture: logits [B, K, V], states [B, K, U], weights [B, K, P]."""
        shape = ops.shape(states_BxKxU)
        flat_MxU = ops.reshape(states_BxKxU, (-1, self.settings.units))
        words_MxE = self.embedding(ops.reshape(ids_BxK, (-1,)))
        _, (flat_MxU,) = self.gru.cell(words_MxE, [flat_MxU], training=False)
        states_BxKxU = ops.reshape(flat_MxU, shape)
        hidden_BxKxU, weights_BxKxP = self.attend(states_BxKxU, keys_BxPxA, training=False)
        return self.logits(self.to_output(hidden_BxKxU)), states_BxKxU, weights_BxKxP

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        """Mean cross entropy in nats a token, label smoothing in training only.

        Args:
            x: unused.
            y: [X, R], the true ids.
            y_pred: [X, R, W], what `call` gave.
            sample_weight: [X, R], 0 where a piece was filled up.
            training: whether to smooth.
        """
        return cross_entropy(y_pred, *self.output(), y, sample_weight, self.label_smoothing if training else 0.0)
