"""The searches against a network small enough to try every caption."""

from __future__ import annotations

import itertools
from functools import lru_cache

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from captioner.config import END, PAD, START, UNKNOWN
from captioner.decode.search import Beam, TopK

WORDS = 4
VOCABULARY = 4 + WORDS
LONGEST = 3


class TableNetwork(keras.layers.Layer):
    """A network whose next word depends on the step and on the word before, by a table [T, V, V].

    The table is the picture's features, so one compiled search serves all tables. The state counts the steps.
    """

    vocab_size = VOCABULARY

    def encode(self, features_BxPxC):
        return features_BxPxC, ops.zeros((ops.shape(features_BxPxC)[0], 1))

    def step(self, ids_BxK, states_BxKx1, keys_Bx1xC):
        rows_BxRxV = ops.reshape(keys_Bx1xC, (-1, (LONGEST + 1) * VOCABULARY, VOCABULARY))
        row_BxK = ops.cast(states_BxKx1[..., 0], "int32") * VOCABULARY + ids_BxK
        logits_BxKxV = ops.take_along_axis(rows_BxRxV, ops.expand_dims(row_BxK, -1), axis=1)
        weights_BxKx1 = ops.cast(ops.expand_dims(ids_BxK, -1), "float32")
        return logits_BxKxV, states_BxKx1 + 1, weights_BxKx1


@lru_cache
def beam(minimum: int = 1, size: int = 3, penalty: float = 1.0) -> Beam:
    return Beam(TableNetwork(), LONGEST, minimum, size, penalty)


@lru_cache
def top_k(minimum: int = 1, k: int = 3, temperature: float = 1.0) -> TopK:
    return TopK(TableNetwork(), LONGEST, minimum, k, temperature)


def tables(seed: int, pictures: int = 2) -> np.ndarray:
    shape = (pictures, LONGEST + 1, VOCABULARY, VOCABULARY)
    return np.random.default_rng(seed).normal(scale=2.0, size=shape).astype("float32")


def run(search, logits_BxTxVxV: np.ndarray, noise: np.ndarray | None = None) -> dict[str, np.ndarray]:
    pictures = len(logits_BxTxVxV)
    inputs = {"features": logits_BxTxVxV.reshape(pictures, 1, -1)}
    if isinstance(search, TopK):
        inputs["noise"] = np.zeros((pictures, search.steps, search.k), "float32") if noise is None else noise
    return {key: np.asarray(value) for key, value in search.predict_on_batch(inputs).items()}


def log_probability(logits_TxVxV: np.ndarray, words: tuple[int, ...], minimum: int) -> float:
    """log p of a whole caption and its end, computed word by word in plain numpy."""
    total, last = 0.0, START
    for step, word in enumerate((*words, END)):
        logits_V = logits_TxVxV[step, last].astype("float32").astype(float)
        banned = {PAD, UNKNOWN, START} | ({END} if step < minimum else set())
        if step >= LONGEST:
            banned |= set(range(VOCABULARY)) - {END}
        allowed = [v for v in range(VOCABULARY) if v not in banned]
        assert word in allowed
        total += logits_V[word] - np.log(np.exp(logits_V[allowed]).sum())
        last = word
    return total


def all_captions(minimum: int):
    for length in range(minimum, LONGEST + 1):
        yield from itertools.product(range(4, VOCABULARY), repeat=length)


def best_caption(logits_TxVxV: np.ndarray, minimum: int, penalty: float) -> tuple[tuple[int, ...], float]:
    scored = [
        (words, log_probability(logits_TxVxV, words, minimum) / max(len(words), 1) ** penalty)
        for words in all_captions(minimum)
    ]
    return max(scored, key=lambda pair: pair[1])


def words_of(ids_T: np.ndarray) -> tuple[int, ...]:
    ids = list(map(int, ids_T))
    end = ids.index(END)
    assert all(i == PAD for i in ids[end + 1 :]), "nothing but padding may follow the end"
    return tuple(ids[:end])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), minimum=st.sampled_from([0, 2]), penalty=st.sampled_from([0.0, 0.7]))
def test_a_beam_wide_enough_finds_the_best_of_all_captions(seed, minimum, penalty):
    logits = tables(seed)
    found = run(beam(minimum, WORDS**LONGEST, penalty), logits)
    for picture in range(2):
        words, score = best_caption(logits[picture], minimum, penalty)
        assert words_of(found["ids"][picture]) == words
        assert found["score"][picture] == pytest.approx(score, abs=1e-4)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([1, 3]), minimum=st.sampled_from([0, 2]))
def test_a_beams_score_is_the_log_probability_of_its_caption(seed, size, minimum):
    logits = tables(seed)
    found = run(beam(minimum, size), logits)
    for picture in range(2):
        words = words_of(found["ids"][picture])
        assert minimum <= len(words) <= LONGEST
        expected = log_probability(logits[picture], words, minimum) / max(len(words), 1)
        assert found["score"][picture] == pytest.approx(expected, abs=1e-4)
        assert expected <= best_caption(logits[picture], minimum, 1.0)[1] + 1e-4


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), minimum=st.sampled_from([0, 2]))
def test_greedy_takes_the_likeliest_word_at_each_step(seed, minimum):
    logits = tables(seed)
    found = run(top_k(minimum, k=1), logits)
    for picture in range(2):
        words, last = [], START
        for step in range(LONGEST):
            allowed = [*range(4, VOCABULARY), *([END] if step >= minimum else [])]
            last = max(allowed, key=lambda v: logits[picture, step, last, v])
            if last == END:
                break
            words.append(last)
        assert words_of(found["ids"][picture]) == tuple(words)
        expected = log_probability(logits[picture], tuple(words), minimum)
        assert found["score"][picture] == pytest.approx(expected, abs=1e-4)


def test_draws_follow_the_networks_distribution():
    """20,000 draws of the first word among the three likeliest, at temperature 2."""
    logits = tables(3, pictures=1)
    draws = 20_000
    noise = np.random.default_rng(0).gumbel(size=(draws, LONGEST + 1, 3)).astype("float32")
    first = run(top_k(k=3, temperature=2.0), np.repeat(logits, draws, axis=0), noise)["ids"][:, 0]
    likeliest = sorted(range(4, VOCABULARY), key=lambda v: -logits[0, 0, START, v])[:3]
    p = np.exp(logits[0, 0, START, likeliest] / 2)
    for word, expected in zip(likeliest, p / p.sum(), strict=True):
        assert np.mean(first == word) == pytest.approx(expected, abs=0.015)
    assert set(first) == set(likeliest)


@pytest.mark.parametrize("search", [beam(minimum=2), top_k(minimum=2)], ids=["beam", "top_k"])
def test_what_may_not_be_said_is_never_said_even_when_it_is_likeliest(search):
    logits = tables(5)
    logits[..., [PAD, UNKNOWN, START]] += 50
    for ids_T in run(search, logits)["ids"]:
        words = words_of(ids_T)
        assert 2 <= len(words) <= LONGEST
        assert not {PAD, UNKNOWN, START} & set(words)


@pytest.mark.parametrize("search", [beam(), top_k()], ids=["beam", "top_k"])
def test_attention_rows_are_those_of_the_caption_that_won(search):
    """The table network's attention is the id of the word before, so the rows must spell the caption."""
    found = run(search, tables(11))
    for ids_T, attention_TxP in zip(found["ids"], found["attention"], strict=True):
        words = words_of(ids_T)
        assert list(attention_TxP[: len(words) + 1, 0]) == [START, *words]


def test_a_picture_alone_gets_the_caption_it_gets_in_a_batch():
    logits = tables(7, pictures=5)
    together = run(beam(), logits)
    for picture in range(5):
        alone = run(beam(), logits[picture : picture + 1])
        assert list(alone["ids"][0]) == list(together["ids"][picture])
