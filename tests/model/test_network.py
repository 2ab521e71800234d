"""The captioning network through its public doors."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from captioner import config
from captioner.config import END, START
from captioner.model.batches import Batches
from captioner.model.network import Captioner
from captioner.text.captions import TokenizedCaptions

VOCABULARY, POSITIONS, CHANNELS = 23, 9, 6
SHAPES = [
    {},
    {"attention": "bahdanau"},
    {"initial_state": "zeros", "tie_embeddings": False},
    {"attention_dim": 10, "embedding_dim": 12, "units": 14},
    {"attention": "bahdanau", "attention_dim": 10, "embedding_dim": 12, "units": 14, "tie_embeddings": False},
]


def settings(**changes) -> config.Model:
    values = {
        "attention": "luong",
        "attention_dim": 16,
        "embedding_dim": 16,
        "units": 16,
        "tie_embeddings": True,
        "initial_state": "image",
        "dropout": 0.0,
    }
    return config.Model(**(values | changes))


def network(seed: int = 0, **changes) -> Captioner:
    keras.utils.set_random_seed(seed)
    model = Captioner(settings(**changes), VOCABULARY)
    model.build_for(POSITIONS, CHANNELS)
    return model


def captions_of(*pictures: list[list[int]]) -> TokenizedCaptions:
    flat = [ids for picture in pictures for ids in picture]
    return TokenizedCaptions(
        ids=np.concatenate([np.asarray(ids, np.int32) for ids in flat]),
        lengths_M=np.asarray([len(ids) for ids in flat], np.int32),
        counts_N=np.asarray([len(picture) for picture in pictures], np.int32),
    )


def features(pictures: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(pictures, POSITIONS, CHANNELS)).astype("float16")


def logits_of(model: Captioner, captions: TokenizedCaptions, features_NxPxC: np.ndarray) -> np.ndarray:
    """The logits of all real words, picture by picture, caption by caption."""
    (batch,) = Batches(features_NxPxC, captions, size=len(features_NxPxC)).in_order()
    logits_XxRxV = keras.ops.convert_to_numpy(model.logits(model(batch.inputs)))
    return logits_XxRxV.reshape(-1, VOCABULARY)[: batch.tokens]


def test_the_published_recipe_has_its_published_number_of_parameters():
    seed = settings(
        attention_dim=512, embedding_dim=512, units=512, tie_embeddings=False, initial_state="zeros", dropout=0.0
    )
    model = Captioner(seed, 20_000)
    model.build_for(64, 1536)
    encoder = model.project.count_params()
    total = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (encoder, total - encoder) == (786_944, 22_076_960)


@pytest.mark.parametrize("changes", SHAPES)
def test_word_by_word_gives_the_logits_of_the_whole_caption(changes):
    """What decoding computes must be what training computed."""
    model = network(**changes)
    captions = captions_of([[5, 6, 7, END], [8, END]], [[9, 5, END], [6, 6, 6, 6, END]])
    expected_NxV = logits_of(model, captions, features(2))
    keys_BxPxA, state_BxU = model.encode(features(2))
    row = 0
    for picture in range(2):
        for ids in captions.of_picture(picture):
            state_1x1xU = keras.ops.expand_dims(state_BxU[picture : picture + 1], 1)
            for last in [START, *ids[:-1]]:
                logits_1x1xV, state_1x1xU, weights_1x1xP = model.step(
                    np.asarray([[last]], np.int32), state_1x1xU, keys_BxPxA[picture : picture + 1]
                )
                np.testing.assert_allclose(
                    keras.ops.convert_to_numpy(logits_1x1xV)[0, 0], expected_NxV[row], rtol=1e-4, atol=1e-5
                )
                assert float(keras.ops.sum(weights_1x1xP)) == pytest.approx(1.0, abs=1e-5)
                row += 1
    assert row == len(expected_NxV)


@pytest.mark.parametrize("changes", SHAPES)
def test_neighbours_and_padding_change_nothing(changes):
    """A caption's logits are the same alone and beside longer captions, other pictures, and empty places."""
    model = network(**changes)
    one, two = [[5, 6, END]], [[7, 8, 9, 10, 11, END], [5, END], [6, 7, END]]
    together = logits_of(model, captions_of(one, two), features(2))
    alone = logits_of(model, captions_of(one), features(2)[:1])
    np.testing.assert_allclose(together[: len(alone)], alone, rtol=1e-4, atol=1e-5)


def test_a_word_is_predicted_from_the_words_before_it_alone():
    model = network()
    first = logits_of(model, captions_of([[5, 6, 7, END]]), features(1))
    other = logits_of(model, captions_of([[5, 6, 12, END]]), features(1))
    np.testing.assert_allclose(first[:3], other[:3], rtol=1e-5)
    assert not np.allclose(first[3], other[3])


@pytest.mark.parametrize("changes", SHAPES)
def test_every_weight_learns_and_the_picture_matters(changes):
    model = network(**changes)
    captions = captions_of([[5, 6, 7, END], [8, END]], [[9, 5, END]])
    assert not np.allclose(logits_of(model, captions, features(2)), logits_of(model, captions, -features(2)))
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    before = {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights}
    (batch,) = Batches(features(2), captions, size=2).in_order()
    model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR)
    still = [weight.path for weight in model.trainable_weights if np.array_equal(before[weight.path], weight)]
    assert still == []
