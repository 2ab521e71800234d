"""What each caption contributes to the scores, as a table that people can sort and runs can be compared by."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np

from captioner.config import UserError
from captioner.score.metrics import Scores

_RUNS = range(1, 5)
COLUMNS = [
    *("image_id", "cider", "rouge_l", "words", "reference_words"),
    *(f"matches_{n}" for n in _RUNS),
    *(f"runs_{n}" for n in _RUNS),
    "caption",
]


def write_each(scores: Scores, captions: Mapping[int, str]) -> str:
    """A CSV with a row for each picture, in the order of the ids; `read_each` gives back the same scores."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, image_id in enumerate(scores.image_ids):
        own = [repr(float(scores.cider_N[row])), repr(float(scores.rouge_l_N[row]))]
        counts = [
            scores.lengths_N[row],
            scores.reference_lengths_N[row],
            *scores.matches_Nx4[row],
            *scores.runs_Nx4[row],
        ]
        writer.writerow([image_id, *own, *map(int, counts), captions[image_id]])
    return text.getvalue()


def read_each(text: str) -> Scores:
    """Reads what `write_each` wrote.

    Raises:
        UserError: it is something else.
    """
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    try:
        values = {name: np.asarray([float(row[name]) for row in rows]) for name in COLUMNS[:-1]}
    except (KeyError, TypeError, ValueError):
        values = {}
    if not rows or not values:
        raise UserError("this is no table of each caption's scores, which `evaluate` writes: `dvc repro` makes it")
    counts = {name: values[name].astype(np.int64) for name in COLUMNS[3:-1]}
    return Scores.of_counts(
        [int(image_id) for image_id in values["image_id"]],
        np.stack([counts[f"matches_{n}"] for n in _RUNS], axis=1),
        np.stack([counts[f"runs_{n}"] for n in _RUNS], axis=1),
        counts["words"],
        counts["reference_words"],
        values["rouge_l"],
        values["cider"],
    )
