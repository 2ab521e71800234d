"""The table of what each caption contributes."""

from __future__ import annotations

import random

import pytest
from untidy import untidy

from captioner.config import UserError
from captioner.score.each import read_each, write_each
from captioner.score.metrics import score_captions


def test_it_gives_back_the_same_scores_whatever_the_captions_hold() -> None:
    chance = random.Random(3)
    captions = {i: untidy(chance) + '\n"quoted", and more' for i in range(40)} | {40: ""}
    scores = score_captions(captions, {i: [untidy(chance), captions[i] or "a dog"] for i in captions})
    text = write_each(scores, captions)
    again = read_each(text)
    assert again.metrics == scores.metrics
    assert again.image_ids == scores.image_ids
    assert write_each(again, captions) == text


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "image_id,cider\n1\n", '"'])
def test_other_tables(text: str) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_each(text)
