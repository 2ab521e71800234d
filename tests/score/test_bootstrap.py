"""Bootstrap intervals and paired differences."""

from __future__ import annotations

import random

import pytest
from helpers.captions import WORDS, untidy_caption

from captioner.common.errors import UserError
from captioner.score.bootstrap import _resample_metrics, bootstrap_intervals, paired_differences
from captioner.score.metrics import Scores, score_captions


def noisy_scores(images: int, noise: float, seed: int = 1) -> Scores:
    """Return the scores of captions in which a fraction ``noise`` of the words is random."""
    rng = random.Random(seed)
    references = {i: [untidy_caption(rng) for _ in range(3)] for i in range(images)}
    noise_rng = random.Random(seed + 1)
    captions = {
        i: " ".join(noise_rng.choice(WORDS) if noise_rng.random() < noise else word for word in texts[0].split())
        for i, texts in references.items()
    }
    return score_captions(captions, references)


def test_intervals_contain_the_score_and_narrow_with_more_images() -> None:
    small, large = noisy_scores(50, 0.3), noisy_scores(800, 0.3)
    for name, (low, high) in bootstrap_intervals(small).items():
        assert low < small.metrics[name] < high
        narrow = bootstrap_intervals(large)[name]
        assert 2 < (high - low) / (narrow[1] - narrow[0]) < 8  # sqrt(800 / 50) = 4
    assert bootstrap_intervals(small).keys() == small.metrics.keys()
    assert bootstrap_intervals(small) == bootstrap_intervals(small)


def test_resamples_of_equal_images_have_the_score_of_all_images() -> None:
    """If all images contribute the same, each resample has the scores of nltk and pycocoevalcap for all images."""
    captions = dict.fromkeys(range(20), "a red dog runs on the grass")
    scores = score_captions(captions, {i: ["a red dog sits on the grass here", "dogs"] for i in captions})
    for name, values in _resample_metrics(scores).items():
        assert values == pytest.approx(scores.metrics[name])


def test_paired_differences_separate_better_captions_and_are_zero_for_equal_ones() -> None:
    good, worse, same = noisy_scores(300, 0.2), noisy_scores(300, 0.4), noisy_scores(300, 0.2)
    for difference, (low, high) in paired_differences(worse, good).values():
        assert 0 < low < difference < high
    assert set(paired_differences(good, same).values()) == {(0.0, (0.0, 0.0))}


def test_scores_of_different_images_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="same images"):
        paired_differences(noisy_scores(10, 0.2), noisy_scores(11, 0.2))
