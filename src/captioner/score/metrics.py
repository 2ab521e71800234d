"""BLEU-1 to 4, ROUGE-L and CIDEr of captions against all the references of their pictures, as fractions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from captioner.config import UserError
from captioner.text.words import ptb_words

_BLEU_WEIGHTS = [(1.0,), (1 / 2,) * 2, (1 / 3,) * 3, (1 / 4,) * 4]


def score_captions(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> dict[str, float]:
    """Scores one caption a picture; the order of pictures and of references changes nothing, not even the last bit.

    Args:
        hypotheses: image id to caption, raw.
        references: image id to the true captions, raw, at least one each.

    Returns:
        bleu_1 .. bleu_4 over the corpus, without smoothing; rouge_l; and cider as coco-caption computes it, with the
        document frequencies of these references (10 is its maximum, 1 is usual).

    Raises:
        UserError: a picture has a caption and no references, or the other way round, or there is nothing to score.
    """
    _check_pictures(hypotheses, references)
    ids = sorted(hypotheses)
    words = [ptb_words(hypotheses[image_id]) for image_id in ids]
    true_words = [sorted(ptb_words(caption) for caption in references[image_id]) for image_id in ids]
    if not any(any(captions) for captions in true_words):
        raise UserError("the reference captions hold no words, so nothing can be scored: check the dataset's captions")
    return _bleu(words, true_words) | _rouge_and_cider(words, true_words)


def _check_pictures(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> None:
    if not hypotheses:
        raise UserError("there are no captions to score: write some first")
    described = {image_id for image_id, captions in references.items() if captions}
    for have, lack, ids in (
        ("a caption", "no reference captions", hypotheses.keys() - described),
        ("reference captions", "no caption to score", described - hypotheses.keys()),
    ):
        if ids:
            others = f" (and {len(ids) - 1} others)" if len(ids) > 1 else ""
            raise UserError(
                f"picture {min(ids)}{others} has {have} but {lack}: give captions and references of the same pictures"
            )


def _bleu(words: list[list[str]], true_words: list[list[list[str]]]) -> dict[str, float]:
    from nltk.translate.bleu_score import corpus_bleu  # at the first score: nltk takes seconds to import

    scores = corpus_bleu(true_words, words, weights=_BLEU_WEIGHTS, smoothing_function=_unsmoothed)
    return {f"bleu_{n}": float(score) for n, score in enumerate(scores, start=1)}


def _unsmoothed(precisions: list[Fraction], **_: Any) -> list[float]:
    """What nltk does by itself, without its warning: no common n-gram at all is a score of 0 (of 1e-77, that is)."""
    return [float(precision) or sys.float_info.min for precision in precisions]


def _rouge_and_cider(words: list[list[str]], true_words: list[list[list[str]]]) -> dict[str, float]:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    results = {row: [" ".join(caption)] for row, caption in enumerate(words)}
    truths = {row: [" ".join(caption) for caption in captions] for row, captions in enumerate(true_words)}
    return {
        name: float(scorer.compute_score(truths, results)[0])
        for name, scorer in (("rouge_l", Rouge()), ("cider", Cider()))
    }
