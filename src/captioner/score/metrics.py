"""BLEU-1 to 4, ROUGE-L and CIDEr of captions against all references of their images, as fractions."""

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

from captioner.common.errors import UserError
from captioner.text.tokenizer import ptb_tokenize

_Captions = list[list[str]]  # the words of a caption per image
_References = list[list[list[str]]]  # the words of several captions per image

PARALLEL_MIN_CAPTIONS = 1000  # with fewer captions, starting a second process takes longer than it saves


@dataclass(frozen=True)
class Scores:
    """The scores of N captions, and each caption's contribution to them, in the order of the image ids.

    Attributes:
        metrics: over all captions: bleu_1 .. bleu_4 without smoothing, rouge_l, and cider as coco-caption computes it,
            with the document frequencies of these references (at most 10; usually about 1).
        image_ids: N image ids.
        ngram_matches_Nx4: number of 1- to 4-grams that also occur in a reference, clipped to their number there.
        ngram_totals_Nx4: number of all 1- to 4-grams; at least 1, as in nltk.
        lengths_N: words of the caption.
        reference_lengths_N: words of the reference whose length is closest.
        rouge_l_N: ROUGE-L of each caption.
        cider_N: CIDEr of each caption.
    """

    metrics: dict[str, float]
    image_ids: list[int]
    ngram_matches_Nx4: NDArray[np.int64]
    ngram_totals_Nx4: NDArray[np.int64]
    lengths_N: NDArray[np.int64]
    reference_lengths_N: NDArray[np.int64]
    rouge_l_N: NDArray[np.float64]
    cider_N: NDArray[np.float64]

    @classmethod
    def from_counts(cls, image_ids: list[int], *counts_and_scores: NDArray[Any]) -> Scores:
        """Compute ``metrics`` from the contributions of the captions, given in the order of the attributes."""
        *counts, rouge_l_N, cider_N = counts_and_scores
        (bleu_4,) = bleu(*(count.sum(axis=0, keepdims=True) for count in counts))
        metrics = {f"bleu_{n}": float(score) for n, score in enumerate(bleu_4, start=1)}
        metrics |= {"rouge_l": float(np.mean(rouge_l_N)), "cider": float(np.mean(cider_N))}
        return cls(metrics, image_ids, *counts_and_scores)


def score_captions(
    hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]], parallel: bool = True
) -> Scores:
    """Score one caption per image. The scores do not depend on the order of images or references, to the last bit.

    Args:
        hypotheses: image id to caption, not tokenized.
        references: image id to reference captions, not tokenized, at least one each.
        parallel: whether a second process may help. A signal to the process group would kill it.

    Raises:
        UserError: an image has a caption without references or references without a caption, or there is no caption,
            or no reference has words.
    """
    _check_same_images(hypotheses, references)
    ids = sorted(hypotheses)
    captions = [ptb_tokenize(hypotheses[image_id]) for image_id in ids]
    tokenized = [sorted(ptb_tokenize(caption) for caption in references[image_id]) for image_id in ids]
    if not any(any(texts) for texts in tokenized):
        raise UserError("the reference captions hold no words, so nothing can be scored: check the dataset's captions")
    parallel = parallel and len(captions) >= PARALLEL_MIN_CAPTIONS
    with _start_cider(captions, tokenized, parallel) as cider_N:
        counts = _count_for_bleu(captions, tokenized)
        return Scores.from_counts(ids, *counts, _compute_rouge_l(captions, tokenized), cider_N())


def bleu(
    ngram_matches_Rx4: NDArray[Any],
    ngram_totals_Rx4: NDArray[Any],
    lengths_R: NDArray[Any],
    reference_lengths_R: NDArray[Any],
) -> NDArray[np.float64]:
    """Return BLEU-1 to 4 [R, 4] of R corpora from the sums of their captions' counts (Papineni et al. 2002).

    The values are those of nltk's `corpus_bleu` without smoothing, except that BLEU is 0 if no n-gram matches (nltk:
    1e-77).
    """
    with np.errstate(divide="ignore"):  # log 0 where no n-gram matches
        logs_Rx4 = np.log(ngram_matches_Rx4 / ngram_totals_Rx4)
    brevity_R = np.minimum(1 - reference_lengths_R / np.maximum(lengths_R, 1), 0)
    scores_Rx4: NDArray[np.float64] = np.exp(brevity_R[:, None] + np.cumsum(logs_Rx4, axis=1) / np.arange(1, 5))
    return scores_Rx4


@contextmanager
def _start_cider(captions: _Captions, references: _References, parallel: bool) -> Iterator[Callable[[], Any]]:
    """Compute CIDEr, with ``parallel`` in a second process during the ``with`` block.

    Yields:
        A function that waits for CIDEr of each caption and returns it.
    """
    if not parallel:
        yield lambda: _compute_cider(captions, references)
        return
    # Ctrl-C is handled by the parent only. Not "fork": the child could inherit locks that other threads hold.
    with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield pool.submit(_compute_cider, captions, references).result


def _check_same_images(hypotheses: Mapping[int, str], references: Mapping[int, Sequence[str]]) -> None:
    if not hypotheses:
        raise UserError("there are no captions to score: write some first")
    with_references = {image_id for image_id, captions in references.items() if captions}
    for present, absent, ids in (
        ("a caption", "no reference captions", hypotheses.keys() - with_references),
        ("reference captions", "no caption to score", with_references - hypotheses.keys()),
    ):
        if ids:
            others = f" (and {len(ids) - 1} others)" if len(ids) > 1 else ""
            raise UserError(
                f"image {min(ids)}{others} has {present} but {absent}: give captions and references of the same images"
            )


def _count_for_bleu(captions: _Captions, references: _References) -> list[NDArray[np.int64]]:
    """Return ngram_matches_Nx4, ngram_totals_Nx4, lengths_N and reference_lengths_N of `Scores`."""
    from nltk.translate.bleu_score import closest_ref_length, modified_precision  # the import takes seconds

    pairs = list(zip(captions, references, strict=True))
    precisions = [[modified_precision(texts, caption, n) for n in range(1, 5)] for caption, texts in pairs]
    return [
        np.asarray([[precision.numerator for precision in row] for row in precisions]),
        np.asarray([[precision.denominator for precision in row] for row in precisions]),
        np.asarray([len(caption) for caption in captions]),
        np.asarray([closest_ref_length(texts, len(caption)) for caption, texts in pairs]),
    ]


def _compute_rouge_l(captions: _Captions, references: _References) -> NDArray[np.float64]:
    """Return ROUGE-L of each caption. Like CIDEr's, the score over all captions is the mean."""
    from pycocoevalcap.rouge.rouge import Rouge

    return _score_each(Rouge(), captions, references)


def _compute_cider(captions: _Captions, references: _References) -> NDArray[np.float64]:
    from pycocoevalcap.cider.cider import Cider

    return _score_each(Cider(), captions, references)


def _score_each(scorer: Any, captions: _Captions, references: _References) -> NDArray[np.float64]:
    """Return the score of each caption by one of pycocoevalcap's scorers, which take texts by row."""
    results = {row: [" ".join(caption)] for row, caption in enumerate(captions)}
    tokenized = {row: [" ".join(caption) for caption in texts] for row, texts in enumerate(references)}
    return np.asarray(scorer.compute_score(tokenized, results)[1], np.float64)
