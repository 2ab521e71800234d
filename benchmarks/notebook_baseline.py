"""The published notebook of `experiment=seed` (docs/coco.md), mistakes included: the baseline of the benchmarks.

The frozen CNN runs at every step of training. Only one caption per image is used, padded to 64 ids, and the loss is
computed over all of them. Images are captioned one at a time and word by word; the CNN runs again for each image.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

LENGTH, START = 64, 2


def build(cnn: keras.Model, vocab_size: int, width: int) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Return the network to train (image and ids to logits), its encoder, and its decoder."""
    layers = keras.layers
    cnn.trainable = False
    image = keras.Input(cnn.input_shape[1:])
    grid = layers.Reshape((-1, cnn.output_shape[-1]))(cnn(image, training=False))
    encoder = keras.Model(image, layers.Dense(width, activation="relu")(grid))

    ids, encoded, state = keras.Input((None,), dtype="int32"), keras.Input((None, width)), keras.Input((width,))
    embeddings = layers.Embedding(vocab_size, width)(ids)
    states, last = layers.GRU(width, return_sequences=True, return_state=True)(embeddings, initial_state=state)
    context = layers.Attention()([states, encoded])
    logits = layers.Dense(vocab_size)(layers.LayerNormalization()(layers.Add()([states, context])))
    decoder = keras.Model([ids, encoded, state], [logits, last])

    input_ids = keras.Input((LENGTH - 1,), dtype="int32")
    zeros = layers.Lambda(lambda x: ops.zeros((ops.shape(x)[0], width)))(input_ids)
    network = keras.Model([image, input_ids], decoder([input_ids, encoder(image), zeros])[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    network.compile("adam", loss, jit_compile=False)
    return network, encoder, decoder


def train_step(network: keras.Model, images_BxSxSx3: np.ndarray, ids_BxT: np.ndarray) -> None:
    """Train on a batch of image-caption pairs; the ids are padded to `LENGTH`."""
    network.train_on_batch([images_BxSxSx3, ids_BxT[:, :-1]], ids_BxT[:, 1:])


def caption(
    encoder: keras.Model, decoder: keras.Model, image_SxSx3: np.ndarray, words: int, random: np.random.Generator
) -> list[int]:
    """Return ``<start>`` and ``words`` ids from top-10 sampling, which does not stop at ``<end>``."""
    encoded = encoder(image_SxSx3[None])
    state = ops.zeros((1, encoded.shape[-1]))
    ids = [START]
    for _ in range(words):
        logits, state = decoder([ops.convert_to_tensor([ids[-1:]], "int32"), encoded, state])
        values, candidates = (ops.convert_to_numpy(part)[0, 0] for part in ops.top_k(logits, 10))
        odds = np.exp(values - values.max())
        ids.append(int(random.choice(candidates, p=odds / odds.sum())))
    return ids
