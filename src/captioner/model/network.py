"""The captioning network: a projected grid of features, a GRU, attention, and a softmax over the vocabulary.

It follows Xu et al. 2015, *Show, Attend and Tell*, but attention comes after the recurrence, as in Luong et al. 2015
(figure 2). So all steps of a reference caption are computed at once.

In array names B counts images, K captions per image, M = B * K captions, T tokens per caption, Q = K * T queries,
P grid positions, C channels, E is the width of the embedding, A of the attention, U of the GRU, W the input width of
the output layer, V counts entries of the vocabulary. The real tokens of a batch, without padding, are in X chunks of R.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from captioner.model.chunked_loss import chunked_cross_entropy
from captioner.model.config import ModelConfig


class Captioner(keras.Model):
    """The captioning network.

    In training, `call` returns the input of the output layer for each token. In decoding, `step` returns the logits of
    the next token, and `attention_weights` the attention of finished captions. Projections exist only between different
    widths, or if the parameters ask for one. So ``experiment=seed`` has exactly the parameters of the published recipe.
    """

    def __init__(self, settings: ModelConfig, vocab_size: int, label_smoothing: float = 0.0) -> None:
        super().__init__(name="captioner")
        self.settings = settings
        self.vocab_size = vocab_size
        self.label_smoothing = label_smoothing
        layers = keras.layers
        self.project = layers.Dense(settings.attention_dim, activation="relu", name="project")
        self.embedding = layers.Embedding(vocab_size, settings.embedding_dim, name="embedding")
        self.gru = layers.GRU(settings.units, return_sequences=True, name="gru")
        from_image = settings.initial_state == "image"
        self.first_state = layers.Dense(settings.units, "tanh", name="first_state") if from_image else None
        if settings.attention == "luong":
            self.attention: Any = layers.Attention(name="attention")
            self.query = self._make_projection(settings.units, settings.attention_dim, "query")
        else:
            self.attention = layers.AdditiveAttention(name="attention")
            self.query = layers.Dense(settings.attention_dim, name="query")
        self.context = self._make_projection(settings.attention_dim, settings.units, "context")
        self.norm = layers.LayerNormalization(name="norm")
        self.dropout = layers.Dropout(settings.dropout, name="dropout")
        width = settings.embedding_dim if settings.tie_embeddings else settings.units
        self.to_output = self._make_projection(settings.units, width, "to_output")
        self.output_layer = None if settings.tie_embeddings else layers.Dense(vocab_size, name="output")

    @staticmethod
    def _make_projection(width_in: int, width_out: int, name: str) -> keras.layers.Layer:
        if width_in == width_out:
            return keras.layers.Identity(name=name)
        return keras.layers.Dense(width_out, name=name)

    def build_for(self, positions: int, channels: int) -> None:
        """Create all weights for images of ``positions`` x ``channels`` features."""
        if self.output_layer is None:
            self.output_bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="output_bias")
        else:
            self.output_layer.build((None, self.settings.units))
        self(
            {
                "features": ops.zeros((1, positions, channels), "float16"),
                "input_ids": ops.zeros((1, 1, 2), "int32"),
                "token_positions": ops.zeros((1, 1), "int32"),
            }
        )

    def encode(self, features_BxPxC: Any, training: bool = False) -> tuple[Any, Any]:
        """Return the projected features [B, P, A] and the initial state of the GRU [B, U]."""
        keys_BxPxA = self.dropout(self.project(ops.cast(features_BxPxC, "float32")), training=training)
        if self.first_state is None:
            return keys_BxPxA, ops.zeros((ops.shape(keys_BxPxA)[0], self.settings.units))
        return keys_BxPxA, self.first_state(ops.mean(keys_BxPxA, axis=1))

    def attend(self, states_BxQxU: Any, keys_BxPxA: Any, training: bool) -> tuple[Any, Any]:
        """Return the normalized sum of state and context [B, Q, U], and the attention weights [B, Q, P]."""
        context_BxQxA, weights_BxQxP = self.attention(
            [self.query(states_BxQxU), keys_BxPxA], return_attention_scores=True, training=training
        )
        return self.norm(states_BxQxU + self.context(context_BxQxA)), weights_BxQxP

    def output_weights(self) -> tuple[Any, Any]:
        """Return the kernel [V, W] and the bias [V] of the output layer."""
        if self.output_layer is None:
            return ops.convert_to_tensor(self.embedding.embeddings), ops.convert_to_tensor(self.output_bias)
        return ops.transpose(self.output_layer.kernel), ops.convert_to_tensor(self.output_layer.bias)

    def logits(self, hidden_xW: Any) -> Any:
        """Return the logits over the vocabulary [..., V] of hidden values [..., W]."""
        if self.output_layer is not None:
            return self.output_layer(hidden_xW)
        return ops.matmul(hidden_xW, ops.transpose(self.embedding.embeddings)) + self.output_bias

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the input of the output layer [X, R, W] for the real tokens of a batch of reference captions.

        Args:
            inputs: ``features`` [B, P, C]; ``input_ids`` [B, K, T], the id before each token; ``token_positions``
                [X, R], the indices of the real tokens in [B * K * T], so that no logits are computed for padding.
            training: whether to apply dropout.
        """
        hidden_BxQxU, _ = self._attend_captions(inputs["features"], inputs["input_ids"], training)
        positions_XxR = inputs["token_positions"]
        hidden_XxRxU = ops.take(ops.reshape(hidden_BxQxU, (-1, self.settings.units)), positions_XxR, axis=0)
        return self.to_output(self.dropout(hidden_XxRxU, training=training))

    def attention_weights(self, features_BxPxC: Any, input_ids_BxKxT: Any) -> Any:
        """Return the attention weights [B, K, T, P] with which the network predicts each token of known captions.

        ``input_ids_BxKxT`` holds the id before each token, as in `call`.
        """
        _, weights_BxQxP = self._attend_captions(features_BxPxC, input_ids_BxKxT, training=False)
        return ops.reshape(weights_BxQxP, (*ops.shape(input_ids_BxKxT), ops.shape(features_BxPxC)[1]))

    def _attend_captions(self, features_BxPxC: Any, input_ids_BxKxT: Any, training: bool) -> tuple[Any, Any]:
        """Return the result of `attend` for each token of known captions."""
        keys_BxPxA, state_BxU = self.encode(features_BxPxC, training)
        images, captions, steps = ops.shape(input_ids_BxKxT)
        embedded_MxTxE = self.embedding(ops.reshape(input_ids_BxKxT, (images * captions, steps)))
        embedded_MxTxE = self.dropout(embedded_MxTxE, training=training)
        state_MxU = ops.repeat(state_BxU, captions, axis=0)
        states_MxTxU = self.gru(embedded_MxTxE, initial_state=state_MxU, training=training)
        # All captions of an image are queries of the same keys, so the features are not repeated for each caption.
        states_BxQxU = ops.reshape(states_MxTxU, (images, captions * steps, self.settings.units))
        return self.attend(states_BxQxU, keys_BxPxA, training)

    def step(self, ids_BxK: Any, states_BxKxU: Any, keys_BxPxA: Any) -> tuple[Any, Any]:
        """Return the logits of the next token [B, K, V], and the new states [B, K, U], for K captions of each image.

        ``ids_BxK`` are the last ids of the captions, ``states_BxKxU`` the states of the GRU before the step, and
        ``keys_BxPxA`` the projected features.
        """
        shape = ops.shape(states_BxKxU)
        flat_states_MxU = ops.reshape(states_BxKxU, (-1, self.settings.units))
        embedded_MxE = self.embedding(ops.reshape(ids_BxK, (-1,)))
        _, (flat_states_MxU,) = self.gru.cell(embedded_MxE, [flat_states_MxU], training=False)
        states_BxKxU = ops.reshape(flat_states_MxU, shape)
        hidden_BxKxU, _ = self.attend(states_BxKxU, keys_BxPxA, training=False)
        return self.logits(self.to_output(hidden_BxKxU)), states_BxKxU

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        """Return the mean cross entropy in nats per token, with label smoothing only in training.

        ``y`` [X, R] are the target ids, ``y_pred`` [X, R, W] is the result of `call`, and ``sample_weight`` [X, R] is 1
        for a real token, 0 for the padding of the last chunk.
        """
        kernel_VxW, bias_V = self.output_weights()
        smoothing = self.label_smoothing if training else 0.0
        return chunked_cross_entropy(y_pred, kernel_VxW, bias_V, y, sample_weight, smoothing)
