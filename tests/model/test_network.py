"""The captioning network: training and decoding compute the same logits, and every weight is trained."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, START
from captioner.train.input_pipeline import InputPipeline

VOCAB_SIZE, POSITIONS, CHANNELS = 23, 9, 6
VARIANTS = [
    {},
    {"attention": "bahdanau"},
    {"initial_state": "zeros", "tie_embeddings": False},
    {"attention_dim": 10, "embedding_dim": 12, "units": 14},
    {"attention": "bahdanau", "attention_dim": 10, "embedding_dim": 12, "units": 14, "tie_embeddings": False},
]


def model_config(**changes) -> ModelConfig:
    values = {
        "attention": "luong",
        "attention_dim": 16,
        "embedding_dim": 16,
        "units": 16,
        "tie_embeddings": True,
        "initial_state": "image",
        "dropout": 0.0,
    }
    return ModelConfig(**(values | changes))


def make_network(seed: int = 0, **changes) -> Captioner:
    keras.utils.set_random_seed(seed)
    model = Captioner(model_config(**changes), VOCAB_SIZE)
    model.build_for(POSITIONS, CHANNELS)
    return model


def make_captions(*images: list[list[int]]) -> TokenizedCaptions:
    captions = [ids for image in images for ids in image]
    return TokenizedCaptions(
        ids=np.concatenate([np.asarray(ids, np.int32) for ids in captions]),
        lengths_M=np.asarray([len(ids) for ids in captions], np.int32),
        counts_N=np.asarray([len(image) for image in images], np.int32),
    )


def make_features(images: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(images, POSITIONS, CHANNELS)).astype("float16")


def compute_logits(model: Captioner, captions: TokenizedCaptions, features_NxPxC: np.ndarray) -> np.ndarray:
    """Return the logits of all real tokens, in the order of images and captions."""
    (batch,) = InputPipeline(features_NxPxC, captions, batch_size=len(features_NxPxC)).in_order()
    logits_XxRxV = keras.ops.convert_to_numpy(model.logits(model(batch.inputs)))
    return logits_XxRxV.reshape(-1, VOCAB_SIZE)[: batch.tokens]


def test_the_published_recipe_has_the_published_number_of_parameters():
    recipe = model_config(
        attention_dim=512, embedding_dim=512, units=512, tie_embeddings=False, initial_state="zeros", dropout=0.0
    )
    model = Captioner(recipe, 20_000)
    model.build_for(64, 1536)
    encoder = model.project.count_params()
    total = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (encoder, total - encoder) == (786_944, 22_076_960)


@pytest.mark.parametrize("changes", VARIANTS)
def test_decoding_steps_give_the_logits_of_training(changes):
    model = make_network(**changes)
    captions = make_captions([[5, 6, 7, END], [8, END]], [[9, 5, END], [6, 6, 6, 6, END]])
    expected_NxV = compute_logits(model, captions, make_features(2))
    keys_BxPxA, state_BxU = model.encode(make_features(2))
    row = 0
    for image in range(2):
        for ids in captions.of_image(image):
            state_1x1xU = keras.ops.expand_dims(state_BxU[image : image + 1], 1)
            for last in [START, *ids[:-1]]:
                logits_1x1xV, state_1x1xU = model.step(
                    np.asarray([[last]], np.int32), state_1x1xU, keys_BxPxA[image : image + 1]
                )
                np.testing.assert_allclose(
                    keras.ops.convert_to_numpy(logits_1x1xV)[0, 0], expected_NxV[row], rtol=1e-4, atol=1e-5
                )
                row += 1
    assert row == len(expected_NxV)


@pytest.mark.parametrize("changes", VARIANTS)
def test_attention_of_known_captions_is_that_of_stepping_through_them(changes):
    """Two images with two captions each, the shorter ones padded."""
    model = make_network(**changes)
    input_ids_BxKxT = np.asarray([[[START, 5, 6, 7], [START, 8, 0, 0]], [[START, 9, 5, 0], [START, 6, 6, 6]]], np.int32)
    weights_BxKxTxP = keras.ops.convert_to_numpy(model.attention_weights(make_features(2), input_ids_BxKxT))
    assert weights_BxKxTxP.shape == (2, 2, 4, POSITIONS)
    np.testing.assert_allclose(weights_BxKxTxP.sum(axis=-1), 1, atol=1e-5)
    keys_BxPxA, state_BxU = model.encode(make_features(2))
    state_BxKxU = keras.ops.repeat(keras.ops.expand_dims(state_BxU, 1), 2, axis=1)
    for step in range(4):
        _, state_BxKxU = model.step(input_ids_BxKxT[:, :, step], state_BxKxU, keys_BxPxA)
        _, expected_BxKxP = model.attend(state_BxKxU, keys_BxPxA, training=False)
        np.testing.assert_allclose(weights_BxKxTxP[:, :, step], expected_BxKxP, rtol=1e-4, atol=1e-6)
    assert np.ptp(weights_BxKxTxP, axis=2).max() > 1e-3, "the attention must change from token to token"


@pytest.mark.parametrize("changes", VARIANTS)
def test_logits_do_not_depend_on_padding_or_other_captions(changes):
    """The same caption is computed alone, and in a batch with longer captions and another image."""
    model = make_network(**changes)
    first, second = [[5, 6, END]], [[7, 8, 9, 10, 11, END], [5, END], [6, 7, END]]
    batched = compute_logits(model, make_captions(first, second), make_features(2))
    single = compute_logits(model, make_captions(first), make_features(2)[:1])
    np.testing.assert_allclose(batched[: len(single)], single, rtol=1e-4, atol=1e-5)


def test_a_token_is_predicted_only_from_the_tokens_before_it():
    model = make_network()
    first = compute_logits(model, make_captions([[5, 6, 7, END]]), make_features(1))
    other = compute_logits(model, make_captions([[5, 6, 12, END]]), make_features(1))
    np.testing.assert_allclose(first[:3], other[:3], rtol=1e-5)
    assert not np.allclose(first[3], other[3])


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_weight_is_trained_and_the_features_matter(changes):
    model = make_network(**changes)
    captions = make_captions([[5, 6, 7, END], [8, END]], [[9, 5, END]])
    assert not np.allclose(
        compute_logits(model, captions, make_features(2)), compute_logits(model, captions, -make_features(2))
    )
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    before = {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights}
    (batch,) = InputPipeline(make_features(2), captions, batch_size=2).in_order()
    model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR)
    unchanged = [weight.path for weight in model.trainable_weights if np.array_equal(before[weight.path], weight)]
    assert unchanged == []
