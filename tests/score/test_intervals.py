"""Bootstrapped intervals."""

from __future__ import annotations

import random

import pytest
from untidy import WORDS, untidy

from captioner.config import UserError
from captioner.score.intervals import _drawn, differences, intervals
from captioner.score.metrics import Scores, score_captions


def scored(pictures: int, spoilt: float, seed: int = 1) -> Scores:
    """Captions of which so many words are drawn anew."""
    chance = random.Random(seed)
    truths = {i: [untidy(chance) for _ in range(3)] for i in range(pictures)}
    fate = random.Random(seed + 1)
    captions = {
        i: " ".join(fate.choice(WORDS) if fate.random() < spoilt else word for word in true[0].split())
        for i, true in truths.items()
    }
    return score_captions(captions, truths)


def test_every_metric_lies_within_its_interval_and_more_pictures_narrow_it() -> None:
    few, many = scored(50, 0.3), scored(800, 0.3)
    for name, (low, high) in intervals(few).items():
        assert low < few.metrics[name] < high
        narrow = intervals(many)[name]
        assert 2 < (high - low) / (narrow[1] - narrow[0]) < 8  # sqrt(800 / 50) = 4
    assert intervals(few).keys() == few.metrics.keys()
    assert intervals(few) == intervals(few)


def test_the_draws_are_scores_of_drawn_pictures() -> None:
    """Where every picture contributes the same, each draw scores what nltk and pycocoevalcap say of them all."""
    one = dict.fromkeys(range(20), "a red dog runs on the grass")
    scores = score_captions(one, {i: ["a red dog sits on the grass here", "dogs"] for i in one})
    for name, values in _drawn(scores).items():
        assert values == pytest.approx(scores.metrics[name])


def test_a_difference_is_found_where_there_is_one() -> None:
    good, worse, same = scored(300, 0.2), scored(300, 0.4), scored(300, 0.2)
    for difference, (low, high) in differences(worse, good).values():
        assert 0 < low < difference < high
    assert set(differences(good, same).values()) == {(0.0, (0.0, 0.0))}


def test_other_pictures_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="same pictures"):
        differences(scored(10, 0.2), scored(11, 0.2))
