"""Words to ids and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.config import END, SPECIAL_TOKENS, START, UNKNOWN, Text, UserError
from captioner.data.tables import CaptionTable, write_captions
from captioner.text.captions import TokenizedCaptions
from captioner.text.tokenize import tokenize_adapt
from captioner.text.vocabulary import Vocabulary
from captioner.text.words import ptb_words

WORDS = ("a", "dog", "runs", "café", "'s", "犬")
vocabulary = Vocabulary.of_words(WORDS)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_known_words_come_back(words):
    assert vocabulary.decode(vocabulary.encode(words, max_length=12)) == words


@given(st.lists(st.text(max_size=5), max_size=12), st.integers(1, 12))
def test_ids_are_never_special_but_for_unknown_words_and_one_end(words, longest):
    ids = vocabulary.encode(words, longest)
    cut = len(words) > longest
    assert ids[-1:] == [END] or cut
    body = ids if cut else ids[:-1]
    assert len(body) == min(len(words), longest)
    assert all(i == UNKNOWN or i >= len(SPECIAL_TOKENS) for i in body)


def test_a_word_that_looks_like_a_special_token_is_unknown():
    assert vocabulary.encode(["<end>", "<start>", "<pad>"], 5) == [UNKNOWN] * 3 + [END]


def test_decoding_stops_at_the_first_end_and_skips_start():
    assert vocabulary.decode([START, 4, 5, END, 6]) == ["a", "dog"]


def test_the_file_holds_one_entry_a_line_and_comes_back(tmp_path: Path):
    vocabulary.write(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text(encoding="utf-8").splitlines() == [*SPECIAL_TOKENS, *WORDS]
    assert Vocabulary.read(tmp_path / "v.txt") == vocabulary


@pytest.mark.parametrize("tokens", [WORDS, (*SPECIAL_TOKENS, "a", "a")])
def test_a_broken_vocabulary_is_refused(tokens):
    with pytest.raises(UserError):
        Vocabulary(tokens)


def prepared(folder: Path) -> Path:
    captions = [["A dog runs.", "a DOG"], ["A cat, a hat!"]]
    write_captions(folder, "train", CaptionTable([1, 2], ["1.jpg", "2.jpg"], captions))
    write_captions(folder, "val", CaptionTable([3], ["3.jpg"], [["a zebra runs", "zebra zebra zebra"]]))
    return folder


def test_the_vocabulary_is_that_of_the_training_captions_alone(tmp_path: Path):
    found = tokenize_adapt(Text(vocab_size=100, max_length=20), prepared(tmp_path / "captions"), tmp_path / "tokens")
    assert found.tokens[:6] == (*SPECIAL_TOKENS, "a", "dog")
    assert set(found.tokens[6:]) == {"runs", "cat", "hat"}
    validation = TokenizedCaptions.read(tmp_path / "tokens" / "val")
    first, second = validation.of_picture(0)
    assert found.decode(first) == ["a", "<unk>", "runs"]
    assert list(second) == [UNKNOWN] * 3 + [END]
    assert not (tmp_path / "tokens" / "test").exists()


def test_ids_have_real_lengths_and_the_vocabulary_its_size(tmp_path: Path):
    captions = prepared(tmp_path / "captions")
    found = tokenize_adapt(Text(vocab_size=6, max_length=2), captions, tmp_path / "tokens")
    assert len(found) == 6
    training = TokenizedCaptions.read(tmp_path / "tokens" / "train")
    assert [len(ids) for row in range(2) for ids in training.of_picture(row)] == [2, 3, 2]
    np.testing.assert_array_equal(training.counts_N, [2, 1])


def test_the_same_captions_give_the_same_bytes(tmp_path: Path):
    captions = prepared(tmp_path / "captions")
    for name in ("one", "two"):
        tokenize_adapt(Text(vocab_size=100, max_length=20), captions, tmp_path / name)
    for file in ("vocabulary.txt", "train/ids.npy", "train/lengths.npy", "val/counts.npy"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_words_of_the_vocabulary_are_those_that_scores_see(tmp_path: Path):
    found = tokenize_adapt(Text(vocab_size=100, max_length=20), prepared(tmp_path / "captions"), tmp_path / "tokens")
    assert set(ptb_words("A cat, a hat!")) <= set(found.tokens)
