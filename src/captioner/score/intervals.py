"""How far the scores may be trusted: bootstrapped intervals, and paired differences of two systems.

Pictures are drawn anew, with replacement, and the scores computed of each draw (Efron 1979; for BLEU: Koehn,
"Statistical Significance Tests for Machine Translation Evaluation", 2004). CIDEr's document frequencies stay those of
all references.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioner.config import UserError
from captioner.score.metrics import Scores, bleu

DRAWS = 1000
INSIDE = (2.5, 97.5)  # percentiles: 95 % of the draws lie between


class Interval(NamedTuple):
    """Where 95 % of the draws lie."""

    low: float
    high: float


def intervals(scores: Scores) -> dict[str, Interval]:
    """The interval of each metric."""
    return {name: _interval(values_R) for name, values_R in _drawn(scores).items()}


def differences(one: Scores, other: Scores) -> dict[str, tuple[float, Interval]]:
    """How much more ``other`` has of each metric, and the interval of that: the same pictures are drawn for both.

    Raises:
        UserError: they are not of the same pictures.
    """
    if one.image_ids != other.image_ids:
        raise UserError("the two are not of the same pictures, so they cannot be compared: score the same split")
    drawn, drawn_other = _drawn(one), _drawn(other)
    return {
        name: (other.metrics[name] - one.metrics[name], _interval(drawn_other[name] - drawn[name])) for name in drawn
    }


def _interval(values_R: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values_R, INSIDE)
    return Interval(float(low), float(high))


def _drawn(scores: Scores) -> dict[str, NDArray[np.float64]]:
    """Each metric of R draws of N pictures. The draws are the same each time."""
    count = len(scores.image_ids)
    times_RxN = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    counts = scores.matches_Nx4, scores.runs_Nx4, scores.lengths_N, scores.reference_lengths_N
    bleus_Rx4 = bleu(*(times_RxN @ count for count in counts))
    drawn = {f"bleu_{n}": bleus_Rx4[:, n - 1] for n in range(1, 5)}
    return drawn | {"rouge_l": times_RxN @ scores.rouge_l_N / count, "cider": times_RxN @ scores.cider_N / count}
