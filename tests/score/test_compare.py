"""The comparison table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from captioner.common.errors import UserError
from captioner.score.compare import comparison_table, explain_different_sets
from captioner.score.metrics import Scores, score_captions

REFERENCES = {i: ["a red dog runs on the grass", "a dog runs"] for i in range(30)}
GOOD = score_captions(dict.fromkeys(range(30), "a red dog runs on the grass"), REFERENCES)
BAD = score_captions(dict.fromkeys(range(30), "a red dog sits on the sofa"), REFERENCES)


def printed_rows(first: Scores, second: Scores) -> dict[str, list[str]]:
    """Return the printed cells of each metric."""
    text = io.StringIO()
    Console(file=text, width=140).print(comparison_table(["one", "two"], first, second))
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in text.getvalue().splitlines()]
    return {row[0]: row[1:] for row in rows if row[0] in first.metrics}


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [(BAD, GOOD, "better"), (GOOD, BAD, "worse"), (GOOD, GOOD, "no significant difference")],
)
def test_each_metric_has_scores_difference_interval_and_verdict(first: Scores, second: Scores, verdict: str) -> None:
    rows = printed_rows(first, second)
    assert list(rows) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    for name in ("bleu_1", "bleu_4", "rouge_l"):
        difference = second.metrics[name] - first.metrics[name]
        scores = f"{first.metrics[name]:.4f}", f"{second.metrics[name]:.4f}"
        interval = f"{difference:+.4f} to {difference:+.4f}"  # all images contribute the same
        assert rows[name] == [*scores, f"{difference:+.4f}", interval, verdict]


def test_scores_of_different_images_have_no_table() -> None:
    with pytest.raises(UserError, match="same images"):
        comparison_table(["one", "two"], GOOD, score_captions({1: "a dog"}, {1: ["a dog"]}))


def test_runs_of_different_or_unknown_evaluation_sets_are_explained() -> None:
    one, other = "1" * 64, "2" * 64
    assert explain_different_sets(["a", "b"], [one, one]) is None
    different = explain_different_sets(["a", "b"], [one, other])
    assert different is not None
    assert "a was scored on the evaluation set 111111111111, b on 222222222222" in different
    for sets, names in (([one, None], "b"), ([None, other], "a"), ([None, None], "a and b")):
        unknown = explain_different_sets(["a", "b"], sets)
        assert unknown is not None
        assert unknown.startswith(f"{names}: recorded before evaluation sets were hashed")
        assert unknown.endswith("`dvc repro` with its parameters trains it again, as a new row")
