"""The comparison of a sweep's jobs, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from captioner.sweep.plots import draw_sweep
from captioner.sweep.table import format_table, group_jobs, sort_rows, verdict


def make_job(score: float, **params: Any) -> dict[str, Any]:
    defaults = {"seed": 1, "model.units": 8, "text.vocab_size": 50, "data.watch": "x"}
    metrics = {"bleu_4": score, "cider": 10 * score, "val_loss": 1 - score}
    return {"params": defaults | params, "metrics": metrics, "run_hash": f"{params}"[:40]}


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


def test_the_best_row_comes_first_for_scores_and_losses() -> None:
    rows = group_jobs(GRID)
    assert sort_rows(rows, "bleu_4")[0].values == {"model.units": 32, "text.vocab_size": 100}
    assert sort_rows(rows, "val_loss")[0].values == {"model.units": 32, "text.vocab_size": 100}
    cells = format_table(sort_rows(rows, "bleu_4"), ["bleu_4"])
    assert cells[0] == ["model.units", "text.vocab_size", "bleu_4", "seeds", "run"]
    assert cells[1][:4] == ["32", "100", "0.3320 ± 0.0010", "3"]


def test_verdict_on_the_best_two() -> None:
    def compare(*scores: list[float]) -> str:
        jobs = [
            make_job(score, **{"model.units": units, "seed": seed})
            for units, scores_of_seeds in enumerate(scores)
            for seed, score in enumerate(scores_of_seeds)
        ]
        return verdict(sort_rows(group_jobs(jobs), "bleu_4"), "bleu_4")

    assert "the best two differ significantly" in compare([0.50, 0.51, 0.52], [0.40, 0.41, 0.42])
    assert "the best two do NOT differ significantly" in compare([0.50, 0.45, 0.40], [0.49, 0.44, 0.39])
    assert "with one seed each" in compare([0.5], [0.4])
    assert "nothing to compare" in compare([0.5, 0.4])


def test_figures_are_reproducible_and_have_a_heat_map_for_two_dimensions(tmp_path: Path) -> None:
    rows = group_jobs(GRID)
    draw_sweep(rows, "bleu_4", tmp_path / "first.png")
    draw_sweep(rows, "bleu_4", tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    two_dimensions_width = Image.open(tmp_path / "first.png").width
    one_dimension = group_jobs([make_job(0.1), make_job(0.2, **{"model.units": 9})])
    draw_sweep(one_dimension, "bleu_4", tmp_path / "third.png")
    assert Image.open(tmp_path / "third.png").width < two_dimensions_width / 2
