"""The searches, with a network that is small enough to try every caption."""

from __future__ import annotations

import itertools
from functools import lru_cache

import keras
import numpy as np
import pytest
import yaml
from helpers.repository import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner.common.errors import UserError
from captioner.config.params import check_params
from captioner.decode.beam_search import BeamSearch
from captioner.decode.config import DecodeConfig
from captioner.decode.sampling import TopKSampling
from captioner.text.vocabulary import END, PAD, START, UNKNOWN

WORDS = 4
VOCAB_SIZE = 4 + WORDS
MAX_LENGTH = 3
DECODE = {"split": "val", "strategy": "top_k", "beam_size": 3, "length_penalty": 1.0, "top_k": 3, "min_length": 1}
DECODE |= {"batch_size": 2}


class TableNetwork(keras.layers.Layer):
    """A network whose next token depends on the step and the previous token, through a table [T, V, V] of logits.

    The table is the image's features, so one compiled search serves all tables. The state counts the steps.
    """

    vocab_size = VOCAB_SIZE

    def encode(self, features_BxPxC):
        return features_BxPxC, ops.zeros((ops.shape(features_BxPxC)[0], 1))

    def step(self, ids_BxK, states_BxKx1, keys_Bx1xC):
        rows_BxRxV = ops.reshape(keys_Bx1xC, (-1, (MAX_LENGTH + 1) * VOCAB_SIZE, VOCAB_SIZE))
        row_BxK = ops.cast(states_BxKx1[..., 0], "int32") * VOCAB_SIZE + ids_BxK
        logits_BxKxV = ops.take_along_axis(rows_BxRxV, ops.expand_dims(row_BxK, -1), axis=1)
        return logits_BxKxV, states_BxKx1 + 1


@lru_cache
def beam_search(min_length: int = 1, beam_size: int = 3, length_penalty: float = 1.0) -> BeamSearch:
    return BeamSearch(TableNetwork(), MAX_LENGTH, min_length, beam_size, length_penalty)


@lru_cache
def top_k_sampling(min_length: int = 1, k: int = 3, temperature: float = 1.0) -> TopKSampling:
    return TopKSampling(TableNetwork(), MAX_LENGTH, min_length, k, temperature)


def random_logits(seed: int, images: int = 2) -> np.ndarray:
    shape = (images, MAX_LENGTH + 1, VOCAB_SIZE, VOCAB_SIZE)
    return np.random.default_rng(seed).normal(scale=2.0, size=shape).astype("float32")


def run(search, logits_BxTxVxV: np.ndarray, noise: np.ndarray | None = None) -> dict[str, np.ndarray]:
    images = len(logits_BxTxVxV)
    inputs = {"features": logits_BxTxVxV.reshape(images, 1, -1)}
    if isinstance(search, TopKSampling):
        inputs["noise"] = np.zeros((images, search.steps, search.k), "float32") if noise is None else noise
    return {key: np.asarray(value) for key, value in search.predict_on_batch(inputs).items()}


def log_probability(logits_TxVxV: np.ndarray, words: tuple[int, ...], min_length: int) -> float:
    """Return log p of a caption with its ``<end>``, computed word by word in numpy with a softmax over all tokens."""
    assert min_length <= len(words) <= MAX_LENGTH
    assert all(word > END for word in words)
    steps = enumerate(zip((START, *words), (*words, END), strict=True))
    table = logits_TxVxV.astype(float)
    return sum(table[step, last, word] - np.log(np.exp(table[step, last]).sum()) for step, (last, word) in steps)


def all_captions(min_length: int):
    for length in range(min_length, MAX_LENGTH + 1):
        yield from itertools.product(range(4, VOCAB_SIZE), repeat=length)


def best_caption(logits_TxVxV: np.ndarray, min_length: int, length_penalty: float) -> tuple[tuple[int, ...], float]:
    scored = [
        (words, log_probability(logits_TxVxV, words, min_length) / max(len(words), 1) ** length_penalty)
        for words in all_captions(min_length)
    ]
    return max(scored, key=lambda pair: pair[1])


def caption_words(ids_T: np.ndarray) -> tuple[int, ...]:
    ids = list(map(int, ids_T))
    end = ids.index(END)
    assert all(i == PAD for i in ids[end + 1 :]), "only padding may follow <end>"
    return tuple(ids[:end])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), min_length=st.sampled_from([0, 2]), length_penalty=st.sampled_from([0.0, 0.7]))
def test_beam_search_over_all_captions_finds_the_best(seed, min_length, length_penalty):
    logits = random_logits(seed)
    outputs = run(beam_search(min_length, WORDS**MAX_LENGTH, length_penalty), logits)
    for image in range(2):
        words, score = best_caption(logits[image], min_length, length_penalty)
        assert caption_words(outputs["ids"][image]) == words
        assert outputs["score"][image] == pytest.approx(score, abs=1e-4)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), beam_size=st.sampled_from([1, 3]), min_length=st.sampled_from([0, 2]))
def test_beam_score_is_the_log_probability_of_its_caption(seed, beam_size, min_length):
    logits = random_logits(seed)
    outputs = run(beam_search(min_length, beam_size), logits)
    for image in range(2):
        words = caption_words(outputs["ids"][image])
        assert min_length <= len(words) <= MAX_LENGTH
        expected = log_probability(logits[image], words, min_length) / max(len(words), 1)
        assert outputs["score"][image] == pytest.approx(expected, abs=1e-4)
        assert expected <= best_caption(logits[image], min_length, 1.0)[1] + 1e-4


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), min_length=st.sampled_from([0, 2]))
def test_greedy_search_takes_the_most_probable_word_at_each_step(seed, min_length):
    logits = random_logits(seed)
    outputs = run(top_k_sampling(min_length, k=1), logits)
    for image in range(2):
        words, last = [], START
        for step in range(MAX_LENGTH):
            allowed = [*range(4, VOCAB_SIZE), *([END] if step >= min_length else [])]
            last = max(allowed, key=lambda v: logits[image, step, last, v])
            if last == END:
                break
            words.append(last)
        assert caption_words(outputs["ids"][image]) == tuple(words)
        expected = log_probability(logits[image], tuple(words), min_length)
        assert outputs["score"][image] == pytest.approx(expected, abs=1e-4)


def test_samples_follow_the_distribution_of_the_network():
    """Sample the first word 20,000 times from the three most probable ones at temperature 2."""
    logits = random_logits(3, images=1)
    samples = 20_000
    noise = np.random.default_rng(0).gumbel(size=(samples, MAX_LENGTH + 1, 3)).astype("float32")
    first = run(top_k_sampling(k=3, temperature=2.0), np.repeat(logits, samples, axis=0), noise)["ids"][:, 0]
    most_probable = sorted(range(4, VOCAB_SIZE), key=lambda v: -logits[0, 0, START, v])[:3]
    p = np.exp(logits[0, 0, START, most_probable] / 2)
    for word, expected in zip(most_probable, p / p.sum(), strict=True):
        assert np.mean(first == word) == pytest.approx(expected, abs=0.015)
    assert set(first) == set(most_probable)


@pytest.mark.parametrize(
    "search", [beam_search(min_length=2), top_k_sampling(min_length=2)], ids=["beam_search", "top_k_sampling"]
)
def test_special_tokens_never_occur_even_if_they_are_most_probable(search):
    logits = random_logits(5)
    logits[..., [PAD, UNKNOWN, START]] += 50
    for ids_T in run(search, logits)["ids"]:
        words = caption_words(ids_T)
        assert 2 <= len(words) <= MAX_LENGTH
        assert not {PAD, UNKNOWN, START} & set(words)


@pytest.mark.parametrize("search", [beam_search(), top_k_sampling(k=1)], ids=["beam_search", "greedy_search"])
def test_probability_of_unknown_is_not_handed_to_other_tokens(search):
    """After word 4 the network is sure of ``<unk>``, so caption 4 is improbable; beam search must prefer caption 5."""
    p = np.full((MAX_LENGTH + 1, VOCAB_SIZE, VOCAB_SIZE), 1e-6)
    p[0, START, [4, 5]] = 0.6, 0.4
    p[1, 4, [UNKNOWN, END]] = 0.99, 0.01
    p[1, 5, [UNKNOWN, END]] = 0.4, 0.6
    outputs = run(search, np.log(p)[None].astype("float32"))
    word = caption_words(outputs["ids"][0])
    assert word == ((4,) if isinstance(search, TopKSampling) else (5,))
    assert np.exp(outputs["score"][0]) == pytest.approx({4: 0.006, 5: 0.24}[word[0]], rel=1e-3)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.01, allow_infinity=False) | st.sampled_from([0.01, 1e9, 1e30, 1.7e308]),
    k=st.sampled_from([1, 3, VOCAB_SIZE]),
    min_length=st.sampled_from([0, 2]),
)
def test_no_special_token_is_sampled_at_any_temperature(seed, temperature, k, min_length):
    assert DecodeConfig.model_validate(DECODE | {"temperature": temperature}).temperature == temperature
    logits_BxTxVxV = random_logits(seed) * 5
    logits_BxTxVxV[..., [PAD, UNKNOWN, START]] += 50
    noise_BxTxk = np.random.default_rng(seed).gumbel(size=(2, MAX_LENGTH + 1, k)).astype("float32")
    search = TopKSampling(TableNetwork(), MAX_LENGTH, min_length, k, temperature)
    outputs = search({"features": logits_BxTxVxV.reshape(2, 1, -1), "noise": noise_BxTxk})
    for ids_T, score, logits_TxVxV in zip(np.asarray(outputs["ids"]), outputs["score"], logits_BxTxVxV, strict=True):
        expected = log_probability(logits_TxVxV, caption_words(ids_T), min_length)
        assert float(score) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("temperature", [1e-12, 0.0099, 0, -1])
def test_temperature_below_a_hundredth_is_refused_in_one_line(temperature):
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["decode"]["temperature"] = temperature
    with pytest.raises(UserError, match=r"^params.yaml: decode.temperature is .* greater than or equal to 0.01$"):
        check_params(tree)


def test_an_image_gets_the_same_caption_alone_and_in_a_batch():
    logits = random_logits(7, images=5)
    batch = run(beam_search(), logits)
    for image in range(5):
        single = run(beam_search(), logits[image : image + 1])
        assert list(single["ids"][0]) == list(batch["ids"][image])
