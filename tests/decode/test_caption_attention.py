"""Decoding with a real, untrained network: scores and attention are those of the network on the generated captions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.decode.attention import BATCH_SIZE, CaptionAttention, compute_attention
from captioner.decode.config import DecodeConfig
from captioner.decode.generate import Caption, generate_captions, make_strategy
from captioner.decode.strategy import DecodingStrategy
from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.text.vocabulary import END, START, Vocabulary

VOCABULARY = Vocabulary.from_words(f"w{number}" for number in range(11))
MAX_LENGTH, POSITIONS, CHANNELS = 6, 9, 5
LENGTH_PENALTY = 0.7
STRATEGIES = ("beam", "greedy", "top_k")


def make_network(attention: str = "luong") -> Captioner:
    """Return a network with random weights that are large enough for different captions of different images."""
    settings = {"attention": attention, "attention_dim": 8, "embedding_dim": 10, "units": 12, "dropout": 0.0}
    keras.utils.set_random_seed(3)
    network = Captioner(ModelConfig(**settings, tie_embeddings=False, initial_state="image"), len(VOCABULARY))
    network.build_for(POSITIONS, CHANNELS)
    network.set_weights([4 * weight for weight in network.get_weights()])
    return network


def make_search(network: Captioner, strategy: str, min_length: int = 1) -> DecodingStrategy:
    decode = {"split": "val", "beam_size": 3, "length_penalty": LENGTH_PENALTY, "top_k": 4, "temperature": 1.5}
    return make_strategy(
        network, DecodeConfig(**decode, strategy=strategy, min_length=min_length, batch_size=4), MAX_LENGTH
    )


NETWORK = make_network()
SEARCHES = {strategy: make_search(NETWORK, strategy) for strategy in STRATEGIES}
ATTENTION = CaptionAttention(NETWORK, MAX_LENGTH)


def make_features(seed: int, images: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(images, POSITIONS, CHANNELS)).astype("float16")


def caption(search: DecodingStrategy, features_NxPxC: np.ndarray) -> list[Caption]:
    seeds = [(row,) for row in range(len(features_NxPxC))]
    return generate_captions(search, VOCABULARY, features_NxPxC, seeds, batch_size=4)


def log_probability(network: Captioner, features_PxC: np.ndarray, words: list[str]) -> float:
    """Return log p of a caption and its ``<end>`` as in training: all tokens at once, and a softmax over all tokens."""
    ids = [VOCABULARY.tokens.index(word) for word in words]
    input_ids, rows = np.asarray([[[START, *ids]]], np.int32), np.arange(len(ids) + 1)
    hidden = network({"features": features_PxC[None], "input_ids": input_ids, "token_positions": rows[None]})
    log_p_TxV = keras.ops.convert_to_numpy(keras.ops.log_softmax(network.logits(hidden), axis=-1))[0]
    return float(log_p_TxV[rows, [*ids, END]].sum())


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), strategy=st.sampled_from(STRATEGIES))
def test_score_is_the_log_probability_of_an_unmasked_softmax(seed, strategy):
    features_NxPxC = make_features(seed)
    for generated, features_PxC in zip(caption(SEARCHES[strategy], features_NxPxC), features_NxPxC, strict=True):
        words = len(generated.words) ** (LENGTH_PENALTY if strategy == "beam" else 0)
        expected = log_probability(NETWORK, features_PxC, generated.words)
        assert generated.score * words == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", ["luong", "bahdanau"])
def test_caption_attention_is_that_of_stepping_through_the_caption(kind):
    """More captions than a batch holds, of all lengths up to the maximum."""
    network = make_network(kind)
    features_NxPxC = make_features(0, images=BATCH_SIZE + 3)
    captions = [list(VOCABULARY.tokens[4 : 4 + row % (MAX_LENGTH + 1)]) for row in range(len(features_NxPxC))]
    attention = compute_attention(CaptionAttention(network, MAX_LENGTH), VOCABULARY, features_NxPxC, captions)
    keys_NxPxA, state_NxU = network.encode(features_NxPxC)
    for row, (words, weights_TxP) in enumerate(zip(captions, attention, strict=True)):
        assert weights_TxP.shape == (len(words) + 1, POSITIONS)
        keys_1xPxA, state_1x1xU = keys_NxPxA[row : row + 1], state_NxU[row][None, None]
        for token, weights_P in zip(["<start>", *words], weights_TxP, strict=True):
            ids_1x1 = np.asarray([[VOCABULARY.tokens.index(token)]], np.int32)
            _, state_1x1xU = network.step(ids_1x1, state_1x1xU, keys_1xPxA)
            _, expected_1x1xP = network.attend(state_1x1xU, keys_1xPxA, training=False)
            np.testing.assert_allclose(weights_P, expected_1x1xP[0, 0], rtol=1e-3, atol=1e-6)


def test_attention_of_a_caption_alone_is_that_in_a_batch():
    features_NxPxC = make_features(1)
    words = [["w1", "w2"], ["w3"], []]
    batch = compute_attention(ATTENTION, VOCABULARY, features_NxPxC, words)
    for row in range(3):
        (single,) = compute_attention(ATTENTION, VOCABULARY, features_NxPxC[row : row + 1], words[row : row + 1])
        np.testing.assert_allclose(single, batch[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_attention_is_carried_through_the_decoding_loop(strategy):
    """Neither among the outputs nor in the loop is an array with an axis of steps and one of positions."""
    search = SEARCHES[strategy]
    inputs = {"features": tf.TensorSpec((2, POSITIONS, CHANNELS), "float16")}
    if strategy != "beam":
        inputs["noise"] = tf.TensorSpec((2, search.steps, search.k), "float32")
    graph = tf.function(search).get_concrete_function(inputs)
    assert graph.structured_outputs.keys() == {"ids", "score"}
    loops = [operation for operation in graph.graph.get_operations() if "While" in operation.type]
    shapes = [output.shape.as_list() for loop in loops for output in loop.outputs]
    assert any(search.steps in shape for shape in shapes)
    assert not [shape for shape in shapes if search.steps in shape and POSITIONS in shape]
