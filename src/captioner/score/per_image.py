"""``reports/per_image.csv``: each caption's contribution to the scores. In array names, N counts images."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np

from captioner.common.errors import UserError
from captioner.score.metrics import Scores

_MATCHES = [f"ngram_matches_{n}" for n in range(1, 5)]
_TOTALS = [f"ngram_totals_{n}" for n in range(1, 5)]
_COUNTS = ["words", "reference_words", *_MATCHES, *_TOTALS]
COLUMNS = ["image_id", "cider", "rouge_l", *_COUNTS, "caption"]


def format_per_image(scores: Scores, captions: Mapping[int, str]) -> str:
    """Return a CSV with a row per image, in the order of the scores. `parse_per_image` reads it without loss."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    arrays_N = [scores.cider_N, scores.rouge_l_N, scores.lengths_N, scores.reference_lengths_N]
    arrays_N += [*scores.ngram_matches_Nx4.T, *scores.ngram_totals_Nx4.T]
    for image_id, *values in zip(scores.image_ids, *(array_N.tolist() for array_N in arrays_N), strict=True):
        writer.writerow([image_id, *values, captions[image_id]])
    return text.getvalue()


def parse_per_image(text: str) -> Scores:
    """Return the scores from the text that `format_per_image` made.

    Raises:
        UserError: the text is another table.
    """
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    try:
        values = {name: np.asarray([float(row[name]) for row in rows]) for name in COLUMNS if name != "caption"}
    except (KeyError, TypeError, ValueError):
        values = {}
    if not rows or not values:
        raise UserError("the table of scores per image is not one that `evaluate` wrote: run `dvc repro`")
    counts = {name: values[name].astype(np.int64) for name in _COUNTS}
    return Scores.from_counts(
        [int(image_id) for image_id in values["image_id"]],
        np.stack([counts[name] for name in _MATCHES], axis=1),
        np.stack([counts[name] for name in _TOTALS], axis=1),
        counts["words"],
        counts["reference_words"],
        values["rouge_l"],
        values["cider"],
    )
