"""BLEU-1 to 4, ROUGE-L and CIDEr of captions against all the references of their pictures, as fractions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.config import UserError
from captioner.text.words import ptb_words

_Words = list[list[str]]  # of each caption
_TrueWords = list[list[list[str]]]  # of each picture's true captions

MANY = 1000  # captions: a second process costs a second


@dataclass(frozen=True)
class Scores:
    """The scores of N captions, and what each caption contributes to them, in the order of the image ids.

    Attributes:
        metrics: over all captions: bleu_1 .. bleu_4 without smoothing; rouge_l; and cider as coco-caption computes
            it, with the document frequencies of these references (10 is its maximum, 1 is usual).
        image_ids: N.
        matches_Nx4: runs of 1 to 4 words that a reference has too, each as often as there at most.
        runs_Nx4: all of them, as nltk counts: at least 1.
        lengths_N: words of the caption.
        reference_lengths_N: words of the reference that is nearest in length.
        rouge_l_N, cider_N: each caption's own.
    """

    metrics: dict[str, float]
    image_ids: list[int]
    matches_Nx4: NDArray[np.int64]
    runs_Nx4: NDArray[np.int64]
    lengths_N: NDArray[np.int64]
    reference_lengths_N: NDArray[np.int64]
    rouge_l_N: NDArray[np.float64]
    cider_N: NDArray[np.float64]

    @classmethod
    def of_counts(cls, image_ids: list[int], *counts_and_scores: NDArray[Any]) -> Scores:
        """From what each caption contributes, in the order of the attributes."""
        *counts, rouge_l_N, cider_N = counts_and_scores
        (bleu_4,) = bleu(*(count.sum(axis=0, keepdims=True) for count in counts))
        metrics = {f"bleu_{n}": float(score) for n, score in enumerate(bleu_4, start=1)}
        metrics |= {"rouge_l": float(np.mean(rouge_l_N)), "cider": float(np.mean(cider_N))}
        return cls(metrics, image_ids, *counts_and_scores)


def score_captions(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> Scores:
    """Scores one caption a picture; the order of pictures and of references changes nothing, not even the last bit.

    Args:
        hypotheses: image id to caption, raw.
        references: image id to the true captions, raw, at least one each.

    Raises:
        UserError: a picture has a caption and no references, or the other way round, or there is nothing to score.
    """
    _check_pictures(hypotheses, references)
    ids = sorted(hypotheses)
    words = [ptb_words(hypotheses[image_id]) for image_id in ids]
    true_words = [sorted(ptb_words(caption) for caption in references[image_id]) for image_id in ids]
    if not any(any(captions) for captions in true_words):
        raise UserError("the reference captions hold no words, so nothing can be scored: check the dataset's captions")
    with _beside(_cider, words, true_words) as cider_N:
        return Scores.of_counts(ids, *_bleu_counts(words, true_words), _rouge_l(words, true_words), cider_N())


@contextmanager
def _beside(work: Callable[..., NDArray[Any]], words: _Words, true_words: _TrueWords) -> Iterator[Callable[[], Any]]:
    """What ``work`` gives, from a process of its own while the caller goes on, where there is enough to do."""
    if len(words) < MANY:
        yield lambda: work(words, true_words)
        return
    # Ctrl-C is for the caller alone. A process that is forked could inherit locks of other threads.
    with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield pool.submit(work, words, true_words).result


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


def bleu(
    matches_Rx4: NDArray[Any], runs_Rx4: NDArray[Any], lengths_R: NDArray[Any], reference_lengths_R: NDArray[Any]
) -> NDArray[np.float64]:
    """BLEU-1 to 4 [R, 4] of R corpora, from the sums of what their captions contribute (Papineni et al. 2002).

    As nltk's `corpus_bleu` without smoothing; where no run matches it is 0 (nltk: 1e-77).
    """
    with np.errstate(divide="ignore"):  # the logarithm of no matches at all
        logs_Rx4 = np.log(matches_Rx4 / runs_Rx4)
    brevity_R = np.minimum(1 - reference_lengths_R / np.maximum(lengths_R, 1), 0)
    scores_Rx4: NDArray[np.float64] = np.exp(brevity_R[:, None] + np.cumsum(logs_Rx4, axis=1) / np.arange(1, 5))
    return scores_Rx4


def _bleu_counts(
    words: _Words, true_words: _TrueWords
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """matches_Nx4, runs_Nx4, lengths_N and reference_lengths_N."""
    from nltk.translate.bleu_score import closest_ref_length, modified_precision  # seconds to import

    precisions = [
        [modified_precision(captions, caption, n) for n in range(1, 5)]
        for caption, captions in zip(words, true_words, strict=True)
    ]
    nearest = [closest_ref_length(captions, len(caption)) for caption, captions in zip(words, true_words, strict=True)]
    return (
        np.asarray([[precision.numerator for precision in row] for row in precisions]),
        np.asarray([[precision.denominator for precision in row] for row in precisions]),
        np.asarray([len(caption) for caption in words]),
        np.asarray(nearest),
    )


def _rouge_l(words: _Words, true_words: _TrueWords) -> NDArray[np.float64]:
    """Each caption's own; over all captions it is the mean of these, and so is CIDEr."""
    from pycocoevalcap.rouge.rouge import Rouge

    return np.asarray(Rouge().compute_score(*_texts(words, true_words))[1], np.float64)


def _cider(words: _Words, true_words: _TrueWords) -> NDArray[np.float64]:
    from pycocoevalcap.cider.cider import Cider

    return np.asarray(Cider().compute_score(*_texts(words, true_words))[1], np.float64)


def _texts(words: _Words, true_words: _TrueWords) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """The true captions and the written ones, as pycocoevalcap takes them."""
    results = {row: [" ".join(caption)] for row, caption in enumerate(words)}
    return {row: [" ".join(caption) for caption in captions] for row, captions in enumerate(true_words)}, results
