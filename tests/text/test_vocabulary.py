"""The vocabulary, its adaptation, and the token ids of captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.text.adapt import tokenize_adapt
from captioner.text.config import TextConfig
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.tokenizer import ptb_tokenize
from captioner.text.vocabulary import END, SPECIAL_TOKENS, START, UNKNOWN, Vocabulary

WORDS = ("a", "dog", "runs", "café", "'s", "犬")
vocabulary = Vocabulary.from_words(WORDS)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_decode_inverts_encode_for_known_words(words):
    assert vocabulary.decode(vocabulary.encode(words, max_length=12)) == words


@given(st.lists(st.text(max_size=5), max_size=12), st.integers(1, 12))
def test_the_only_special_ids_are_unknown_and_one_final_end(words, max_length):
    ids = vocabulary.encode(words, max_length)
    truncated = len(words) > max_length
    assert ids[-1:] == [END] or truncated
    word_ids = ids if truncated else ids[:-1]
    assert len(word_ids) == min(len(words), max_length)
    assert all(i == UNKNOWN or i >= len(SPECIAL_TOKENS) for i in word_ids)


def test_a_word_spelled_like_a_special_token_is_unknown():
    assert vocabulary.encode(["<end>", "<start>", "<pad>"], 5) == [UNKNOWN] * 3 + [END]


def test_decoding_stops_at_the_first_end_and_skips_start():
    assert vocabulary.decode([START, 4, 5, END, 6]) == ["a", "dog"]


def test_the_file_has_one_token_per_line_and_reads_back(tmp_path: Path):
    vocabulary.write(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text(encoding="utf-8").splitlines() == [*SPECIAL_TOKENS, *WORDS]
    assert Vocabulary.read(tmp_path / "v.txt") == vocabulary


@pytest.mark.parametrize("tokens", [WORDS, (*SPECIAL_TOKENS, "a", "a")])
def test_an_invalid_vocabulary_is_rejected(tokens):
    with pytest.raises(UserError):
        Vocabulary(tokens)


def write_captions(root: Path) -> Workspace:
    workspace = Workspace(root)
    train = CaptionsTable([1, 2], ["1.jpg", "2.jpg"], [["A dog runs.", "a DOG"], ["A cat, a hat!"]])
    write_captions_table(workspace.captions, "train", train)
    val = CaptionsTable([3], ["3.jpg"], [["a zebra runs", "zebra zebra zebra"]])
    write_captions_table(workspace.captions, "val", val)
    return workspace


def test_the_vocabulary_contains_only_words_of_the_training_captions(tmp_path: Path):
    workspace = write_captions(tmp_path)
    adapted = tokenize_adapt(TextConfig(vocab_size=100, max_length=20), workspace)
    assert adapted.tokens[:6] == (*SPECIAL_TOKENS, "a", "dog")
    assert set(adapted.tokens[6:]) == {"runs", "cat", "hat"}
    validation = TokenizedCaptions.read(workspace.tokens / "val")
    first, second = validation.of_image(0)
    assert adapted.decode(first) == ["a", "<unk>", "runs"]
    assert list(second) == [UNKNOWN] * 3 + [END]
    assert not (workspace.tokens / "test").exists()


def test_ids_are_truncated_and_the_vocabulary_has_the_configured_size(tmp_path: Path):
    workspace = write_captions(tmp_path)
    adapted = tokenize_adapt(TextConfig(vocab_size=6, max_length=2), workspace)
    assert len(adapted) == 6
    training = TokenizedCaptions.read(workspace.tokens / "train")
    assert [len(ids) for row in range(2) for ids in training.of_image(row)] == [2, 3, 2]
    np.testing.assert_array_equal(training.counts_N, [2, 1])


def test_equal_captions_give_equal_bytes(tmp_path: Path):
    one, two = (write_captions(tmp_path / name) for name in ("one", "two"))
    for workspace in (one, two):
        tokenize_adapt(TextConfig(vocab_size=100, max_length=20), workspace)
    for file in ("vocabulary.txt", "train/ids.npy", "train/lengths.npy", "val/counts.npy"):
        assert (one.tokens / file).read_bytes() == (two.tokens / file).read_bytes()


def test_the_vocabulary_uses_the_tokenizer_of_the_scores(tmp_path: Path):
    adapted = tokenize_adapt(TextConfig(vocab_size=100, max_length=20), write_captions(tmp_path))
    assert set(ptb_tokenize("A cat, a hat!")) <= set(adapted.tokens)
