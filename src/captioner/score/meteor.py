"""METEOR 1.5, computed by its authors' Java program, which pycocoevalcap includes.

The stage ``evaluate`` does not compute METEOR, so that it does not need Java.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captioner.text.tokenizer import ptb_tokenize


def meteor(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> float:
    """Return METEOR over all captions as a fraction (Denkowski and Lavie 2014). Needs ``java``."""
    from pycocoevalcap.meteor.meteor import Meteor

    captions = {image_id: [" ".join(ptb_tokenize(caption))] for image_id, caption in sorted(hypotheses.items())}
    tokenized = {image_id: [" ".join(ptb_tokenize(text)) for text in references[image_id]] for image_id in captions}
    score, _ = Meteor().compute_score(tokenized, captions)
    return float(score)
