"""``reports/per_image.csv``."""

from __future__ import annotations

import random

import pytest
from helpers.captions import untidy_caption

from captioner.common.errors import UserError
from captioner.score.metrics import score_captions
from captioner.score.per_image import format_per_image, parse_per_image


def test_parsing_returns_the_scores_for_any_captions() -> None:
    rng = random.Random(3)
    captions = {i: untidy_caption(rng) + '\n"quoted", and more' for i in range(40)} | {40: ""}
    scores = score_captions(captions, {i: [untidy_caption(rng), captions[i] or "a dog"] for i in captions})
    text = format_per_image(scores, captions)
    parsed = parse_per_image(text)
    assert parsed.metrics == scores.metrics
    assert parsed.image_ids == scores.image_ids
    assert format_per_image(parsed, captions) == text


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "image_id,cider\n1\n", '"'])
def test_other_tables_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        parse_per_image(text)
