"""The comparison of a sweep's jobs, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.sweep.plots import draw_sweep
from captioner.sweep.table import SettingRow, format_table, group_jobs, rank_rows, verdict


def make_job(score: float, **params: Any) -> dict[str, Any]:
    defaults = {"seed": 1, "model.units": 8, "text.vocab_size": 50, "data.watch": "x"}
    metrics = {"bleu_4": score, "cider": 10 * score, "val_loss": 1 - score}
    return {"params": defaults | params, "metrics": metrics, "run_hash": f"{params}"}


GRID = [
    make_job(
        units / 100 + words / 10000 + seed / 1000, **{"model.units": units, "text.vocab_size": words, "seed": seed}
    )
    for units in (8, 16, 32)
    for words in (50, 100)
    for seed in (1, 2, 3)
]


def test_jobs_are_grouped_by_all_parameters_that_differ_except_the_seed() -> None:
    rows = group_jobs(GRID)
    assert len(rows) == 6
    assert all(set(row.values) == {"model.units", "text.vocab_size"} for row in rows)
    assert rows[0].mean("bleu_4") == sum(job["metrics"]["bleu_4"] for job in GRID[:3]) / 3
    assert abs(rows[0].spread("bleu_4") - 0.001) < 1e-12


def test_job_given_twice_counts_as_one_seed() -> None:
    repeated = [make_job(0.2), make_job(0.2), make_job(0.1, **{"model.units": 9})]
    rows = group_jobs(repeated)
    assert [row.scores["bleu_4"] for row in rows] == [[0.2], [0.1]]
    assert [len(row.hashes) for row in rows] == [1, 1]
    assert "with one seed each" in verdict(rank_rows(rows, "bleu_4"), "bleu_4")


def test_the_best_row_comes_first_for_scores_and_losses() -> None:
    (rows,) = rank_rows(group_jobs(GRID), "bleu_4")
    assert rows[0].values == {"model.units": 32, "text.vocab_size": 100}
    (losses,) = rank_rows(group_jobs([job for job in GRID if job["params"]["text.vocab_size"] == 50]), "val_loss")
    assert losses[0].values == {"model.units": 32}
    cells = format_table(rows, ["bleu_4"])
    assert cells[0] == ["model.units", "text.vocab_size", "bleu_4", "seeds", "run"]
    assert cells[1][:4] == ["32", "100", "0.3320 ± 0.0010", "3"]


def judge(*scores: list[float]) -> str:
    """Return the verdict on settings, each given by the scores of its seeds."""
    rows = [
        SettingRow({"model.units": units}, {"bleu_4": list(values)}, ["0" * 12] * len(values))
        for units, values in enumerate(scores)
    ]
    return verdict(rank_rows(rows, "bleu_4"), "bleu_4")


def test_verdict_on_the_best_two() -> None:
    assert "0.1000 bleu_4, significantly (Welch's t test: p = 0.00026)" in judge([0.50, 0.51, 0.52], [0.40, 0.41, 0.42])
    assert "NOT significantly" in judge([0.50, 0.45, 0.40], [0.49, 0.44, 0.39])
    assert "with one seed each the difference cannot be judged" in judge([0.5], [0.4])
    assert "nothing to compare" in judge([0.5, 0.4])


def test_verdict_says_that_only_one_of_two_settings_has_a_single_seed() -> None:
    for scores in ([0.5, 0.6], [0.4]), ([0.5], [0.3, 0.4]):
        text = judge(*scores)
        assert "one of them has a single seed, so the difference cannot be judged: add seed=1,2,3" in text
        assert "one seed each" not in text


def test_verdict_names_the_settings_that_cannot_be_told_apart_from_the_best() -> None:
    text = judge([0.50, 0.51, 0.52], [0.10, 0.11, 0.12], [0.49, 0.50, 0.52], [0.50], [0.20, 0.21, 0.23])
    assert "after Bonferroni's correction for 10 pairs" in text
    assert "cannot be told apart from the best: 2 of 4 (model.units=2; model.units=3): " in text
    many = judge(*([0.5 + row / 1000, 0.6, 0.7] for row in range(8)))
    assert "7 of 7" in many
    assert many.count("model.units=") == 5
    assert many.endswith("; 2 more)")


def test_verdict_asks_for_more_seeds_where_two_cannot_show_the_difference() -> None:
    scores = [0.50, 0.53], [0.42, 0.45]
    assert judge(*scores).endswith("with fewer than three seeds only very large differences show, so add seeds")
    assert "add seeds" not in judge(*([*values, *values] for values in scores))


@pytest.mark.filterwarnings("error")
def test_identical_scores_of_all_seeds_have_a_verdict() -> None:
    assert "NOT significantly (Welch's t test: p = 1)" in judge([0.1, 0.1, 0.1], [0.1, 0.1, 0.1])
    assert "0.2000 bleu_4, significantly (Welch's t test: p = 0)" in judge([0.3, 0.3, 0.3], [0.1, 0.1, 0.1])
    assert "0.2000 bleu_4, significantly" in judge([0.3, 0.3, 0.3], [0.1, 0.1, 0.1001])
    assert "nan" not in judge([0.0, 0.0], [0.0, 0.0], [0.0], [0.0, 0.1])


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("settings", [2, 9])
def test_settings_with_equal_true_means_are_told_apart_in_at_most_5_percent_of_sweeps(
    settings: int, seeds: int
) -> None:
    scores_SxMxN = np.random.default_rng(0).normal(0.2, 0.01, (2000, settings, seeds))
    none = f"cannot be told apart from the best: {settings - 1} of {settings - 1}"
    verdicts = [judge(*scores_MxN.tolist()) for scores_MxN in scores_SxMxN]
    false_alarms = sum(none not in text or "NOT significantly" not in text for text in verdicts) / len(verdicts)
    assert false_alarms < 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(verdicts))  # two standard errors of 2000 sweeps


def test_real_difference_is_found_with_five_seeds_among_nine_settings() -> None:
    scores_SxMxN = np.random.default_rng(0).normal(0.2, 0.01, (100, 9, 5))
    scores_SxMxN[:, 4] += 0.06
    texts = [judge(*scores_MxN.tolist()) for scores_MxN in scores_SxMxN]
    assert sum("cannot be told apart from the best: 0 of 8" in text for text in texts) > 90


@pytest.mark.parametrize("objective", ["val_loss", "val_loss_word"])
def test_validation_losses_are_ranked_only_within_equal_text_parameters(objective: str) -> None:
    rows = [
        SettingRow({"text.vocab_size": words, "model.units": units}, {objective: [loss, loss + 0.01]}, ["0" * 12] * 2)
        for words, units, loss in ((1000, 8, 2.5), (50, 8, 1.1), (1000, 16, 2.0), (50, 16, 1.0), (50, 32, 1.3))
    ]
    groups = rank_rows(rows, objective)
    assert [[row.values["model.units"] for row in group] for group in groups] == [[16, 8], [16, 8, 32]]
    reason, first, second = verdict(groups, objective).splitlines()
    assert f"{objective} cannot be compared across vocabularies" in reason
    assert first.startswith("- text.vocab_size=1000: the best two settings differ by 0.5000")
    assert second.startswith("- text.vocab_size=50: the best two settings differ by 0.1000")
    assert "3 pairs" in second


def test_scores_are_ranked_across_text_parameters() -> None:
    ((best, *_),) = rank_rows(group_jobs(GRID), "bleu_4")
    assert best.values["text.vocab_size"] == 100


def test_figures_are_reproducible_and_have_a_heat_map_for_two_dimensions(tmp_path: Path) -> None:
    rows = group_jobs(GRID)
    draw_sweep(rows, "bleu_4", tmp_path / "first.png")
    draw_sweep(rows, "bleu_4", tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    two_dimensions_width = Image.open(tmp_path / "first.png").width
    one_dimension = group_jobs([make_job(0.1), make_job(0.2, **{"model.units": 9})])
    draw_sweep(one_dimension, "bleu_4", tmp_path / "third.png")
    assert Image.open(tmp_path / "third.png").width < two_dimensions_width / 2
