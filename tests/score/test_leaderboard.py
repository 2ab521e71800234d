"""The leaderboard's Markdown table."""

from __future__ import annotations

from typing import Any

from captioner.score.leaderboard import LeaderboardRow, leaderboard_markdown

BASELINE: dict[str, Any] = {
    "run": "0123456789ab",
    "commit": "89abcde",
    "dataset": "shapes val",
    "evaluation_set": "a" * 64,
    "params": {"model.units": "32", "train.epochs": "2", "score.objective": "cider"},
    "metrics": {"bleu_4": 0.25, "bleu_4_low": 0.2, "bleu_4_high": 0.31, "cider": 1.5},
    "train_time": "12 s",
    "device": "cpu",
}


def row(**changes: Any) -> LeaderboardRow:
    return LeaderboardRow(**BASELINE | changes)


def test_a_run_has_its_scores_intervals_and_origin() -> None:
    assert leaderboard_markdown([row()], set()) == (
        "# Leaderboard\n\n"
        "| run | commit | dataset | parameters that differ | BLEU-4 | CIDEr | training | device |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| `0123456789ab` | 89abcde | shapes val |  | 0.2500 ± 0.0550 | 1.5000 | 12 s | cpu |\n"
    )


def test_runs_are_ordered_by_dataset_then_by_bleu_4() -> None:
    metrics = [{"bleu_4": value, "cider": 1.0} for value in (0.1, 0.3, 0.2)]
    rows = [
        row(run="low", metrics=metrics[0]),
        row(run="high", metrics=metrics[1]),
        row(run="coco", dataset="coco val", metrics=metrics[2]),
    ]
    lines = leaderboard_markdown(rows, set()).splitlines()[4:]
    assert [line.split("`")[1] for line in lines] == ["coco", "high", "low"]


def test_runs_of_one_dataset_are_grouped_by_evaluation_set() -> None:
    sets = {"first": "a" * 64, "second": "b" * 64, "third": "a" * 64, "old": None}
    rows = [
        row(run=name, evaluation_set=sets[name], metrics={"bleu_4": bleu_4, "cider": 1.0})
        for name, bleu_4 in (("first", 0.1), ("second", 0.2), ("third", 0.3), ("old", 0.4))
    ]
    lines = [line.split(" | ") for line in leaderboard_markdown(rows, set()).splitlines()[4:]]
    assert [line[0].split("`")[1] for line in lines] == ["third", "first", "second", "old"]
    labels = ["shapes val aaaaaa", "shapes val aaaaaa", "shapes val bbbbbb", "shapes val, unknown set"]
    assert [line[2] for line in lines] == labels


def test_an_evaluation_set_without_a_namesake_is_shown_without_its_hash() -> None:
    rows = [row(), row(), row(dataset="coco val", evaluation_set="b" * 64)]
    lines = leaderboard_markdown(rows, set()).splitlines()[4:]
    assert [line.split(" | ")[2] for line in lines] == ["coco val", "shapes val", "shapes val"]


def test_only_parameters_that_differ_and_are_not_ignored_are_shown() -> None:
    params = BASELINE["params"]
    rows = [
        row(run="a"),
        row(run="b", params=params | {"model.units": "64", "score.objective": "bleu_4", "model.dropout": "0.1"}),
    ]
    lines = leaderboard_markdown(rows, {"score.objective"}).splitlines()[4:]
    assert [line.split(" | ")[3] for line in lines] == ["model.units=32", "model.dropout=0.1, model.units=64"]
