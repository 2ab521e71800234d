"""What the scores hide."""

from __future__ import annotations

import numpy as np
import pytest

from captioner.score.habits import habits
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of_words(["a", "man", "with", "dog", "red", "hat", "runs", "and", "blue", "kite"])


def training(*captions: str, max_length: int = 20) -> TokenizedCaptions:
    ids = [np.asarray(VOCABULARY.encode(caption.split(), max_length), np.int32) for caption in captions]
    lengths = np.asarray([len(row) for row in ids], np.int32)
    return TokenizedCaptions(np.concatenate(ids), lengths, np.asarray([len(ids)]))


def test_habits_by_hand() -> None:
    captions = ["a man with a", "a man runs", "a man runs", "a man a man runs", "a dog and a red red hat"]
    found = habits(captions, VOCABULARY, training("a man runs", "a dog"))
    assert found == pytest.approx(
        {
            "distinct": 4 / 5,
            "novel": 3 / 5,
            "unfinished": 1 / 5,
            "repeating": 2 / 5,
            "vocabulary_used": 8 / 10,
            "mean_length": (4 + 3 + 3 + 5 + 7) / 5,
        }
    )


def test_what_is_no_habit() -> None:
    captions = ["a red dog and a red hat", "a man runs with a dog", ""]
    found = habits(captions, VOCABULARY, training("a man"))
    assert (found["repeating"], found["unfinished"], found["novel"]) == (0, 0, 1)


def test_a_training_caption_that_was_cut_is_not_the_shorter_one() -> None:
    known = training("a man runs with a dog", max_length=3)
    assert habits(["a man runs"], VOCABULARY, known)["novel"] == 1
