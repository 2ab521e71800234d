"""Bootstrap intervals of scores, and paired differences between two sets of captions.

Images are resampled with replacement and the scores of each resample computed (Efron 1979; for BLEU: Koehn 2004,
"Statistical Significance Tests for Machine Translation Evaluation"). CIDEr keeps the document frequencies of all
references.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioner.common.errors import UserError
from captioner.score.metrics import Scores, bleu

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)  # the ends of a 95 % interval


class Interval(NamedTuple):
    """The interval that contains 95 % of the resamples."""

    low: float
    high: float


def bootstrap_intervals(scores: Scores) -> dict[str, Interval]:
    """Return the 95 % interval of each metric."""
    return {name: _compute_interval(values_R) for name, values_R in _resample_metrics(scores).items()}


def paired_differences(first: Scores, second: Scores) -> dict[str, tuple[float, Interval]]:
    """Return ``second`` minus ``first`` for each metric, with its 95 % interval; both use the same resamples.

    Raises:
        UserError: the two are scores of different images.
    """
    if first.image_ids != second.image_ids:
        raise UserError("the two are not scores of the same images, so they cannot be compared: score the same split")
    first_resamples, second_resamples = _resample_metrics(first), _resample_metrics(second)
    return {
        name: (second.metrics[name] - first.metrics[name], _compute_interval(second_resamples[name] - values_R))
        for name, values_R in first_resamples.items()
    }


def _compute_interval(values_R: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values_R, PERCENTILES)
    return Interval(float(low), float(high))


def _resample_metrics(scores: Scores) -> dict[str, NDArray[np.float64]]:
    """Return each metric of R resamples of the N images. The seed is fixed, so the resamples are always the same."""
    count = len(scores.image_ids)
    draws_RxN = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    times_RxN = draws_RxN.astype(np.float64)
    counts = scores.ngram_matches_Nx4, scores.ngram_totals_Nx4, scores.lengths_N, scores.reference_lengths_N
    bleu_Rx4 = bleu(*(times_RxN @ values for values in counts))
    metrics = {f"bleu_{n}": bleu_Rx4[:, n - 1] for n in range(1, 5)}
    return metrics | {"rouge_l": times_RxN @ scores.rouge_l_N / count, "cider": times_RxN @ scores.cider_N / count}
