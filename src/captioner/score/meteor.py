"""METEOR 1.5, by its authors' Java program, which pycocoevalcap brings. `evaluate` leaves it out: it needs no Java."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captioner.text.words import ptb_words


def meteor(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> float:
    """METEOR over all captions, as a fraction (Denkowski and Lavie, 2014). Needs ``java``."""
    from pycocoevalcap.meteor.meteor import Meteor

    captions = {image_id: [" ".join(ptb_words(caption))] for image_id, caption in sorted(hypotheses.items())}
    truths = {image_id: [" ".join(ptb_words(true)) for true in references[image_id]] for image_id in captions}
    score, _ = Meteor().compute_score(truths, captions)
    return float(score)
