"""The well-known recipe as it was published, mistakes included: what the benchmarks compare with.

The frozen CNN runs at every step, one caption of each picture is used, captions are padded to 64 ids, the loss is
computed over all of them, and a picture is captioned alone, one word after another, with the CNN run again.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

LENGTH, START, END = 64, 2, 3


def recipe(cnn: keras.Model, vocab_size: int, width: int) -> tuple[keras.Model, keras.Model, keras.Model]:
    """The network to train (picture and ids to logits), its encoder, and its decoder."""
    layers = keras.layers
    cnn.trainable = False
    picture = keras.Input(cnn.input_shape[1:])
    grid = layers.Reshape((-1, cnn.output_shape[-1]))(cnn(picture, training=False))
    encoder = keras.Model(picture, layers.Dense(width, activation="relu")(grid))

    ids, encoded, state = keras.Input((None,), dtype="int32"), keras.Input((None, width)), keras.Input((width,))
    words = layers.Embedding(vocab_size, width)(ids)
    states, last = layers.GRU(width, return_sequences=True, return_state=True)(words, initial_state=state)
    context = layers.Attention()([states, encoded])
    logits = layers.Dense(vocab_size)(layers.LayerNormalization()(layers.Add()([states, context])))
    decoder = keras.Model([ids, encoded, state], [logits, last])

    known = keras.Input((LENGTH - 1,), dtype="int32")
    zeros = layers.Lambda(lambda x: ops.zeros((ops.shape(x)[0], width)))(known)
    network = keras.Model([picture, known], decoder([known, encoder(picture), zeros])[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    network.compile("adam", loss, jit_compile=False)
    return network, encoder, decoder


def step(network: keras.Model, pictures_BxSxSx3: np.ndarray, ids_BxT: np.ndarray) -> None:
    """One step on a batch of image-caption pairs; ``ids`` are padded to `LENGTH`."""
    network.train_on_batch([pictures_BxSxSx3, ids_BxT[:, :-1]], ids_BxT[:, 1:])


def caption(
    encoder: keras.Model, decoder: keras.Model, picture_SxSx3: np.ndarray, words: int, random: np.random.Generator
) -> list[int]:
    """Top-10 sampling of ``words`` words: as many as a caption has on average, since nothing here has been trained."""
    encoded = encoder(picture_SxSx3[None])
    state = ops.zeros((1, encoded.shape[-1]))
    ids = [START]
    for _ in range(words):
        logits, state = decoder([ops.convert_to_tensor([ids[-1:]], "int32"), encoded, state])
        values, candidates = (ops.convert_to_numpy(part)[0, 0] for part in ops.top_k(logits, 10))
        odds = np.exp(values - values.max())
        ids.append(int(random.choice(candidates, p=odds / odds.sum())))
    return ids
