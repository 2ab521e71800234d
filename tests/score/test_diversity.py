"""Diversity metrics."""

from __future__ import annotations

import numpy as np
import pytest

from captioner.score.diversity import diversity_metrics
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_words(["a", "man", "with", "dog", "red", "hat", "runs", "and", "blue", "kite"])


def training(*captions: str, max_length: int = 20) -> TokenizedCaptions:
    ids = [np.asarray(VOCABULARY.encode(caption.split(), max_length), np.int32) for caption in captions]
    lengths = np.asarray([len(row) for row in ids], np.int32)
    return TokenizedCaptions(np.concatenate(ids), lengths, np.asarray([len(ids)]))


def test_metrics_equal_hand_computed_values() -> None:
    captions = ["a man with a", "a man runs", "a man runs", "a man a man runs", "a dog and a red red hat"]
    metrics = diversity_metrics(captions, VOCABULARY, training("a man runs", "a dog"))
    assert metrics == pytest.approx(
        {
            "distinct": 4 / 5,
            "novel": 3 / 5,
            "unfinished": 1 / 5,
            "repeating": 2 / 5,
            "vocabulary_used": 8 / 10,
            "mean_length": (4 + 3 + 3 + 5 + 7) / 5,
        }
    )


def test_complete_captions_without_repetition_are_neither_unfinished_nor_repeating() -> None:
    captions = ["a red dog and a red hat", "a man runs with a dog", ""]
    metrics = diversity_metrics(captions, VOCABULARY, training("a man"))
    assert (metrics["repeating"], metrics["unfinished"], metrics["novel"]) == (0, 0, 1)


def test_a_truncated_training_caption_does_not_equal_the_shorter_caption() -> None:
    truncated = training("a man runs with a dog", max_length=3)
    assert diversity_metrics(["a man runs"], VOCABULARY, truncated)["novel"] == 1
