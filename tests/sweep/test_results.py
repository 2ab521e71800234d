"""What a sweep tells of its points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from captioner.sweep.figures import draw
from captioner.sweep.results import rows_of, sort_rows, table_of, verdict


def point(score: float, **params: Any) -> dict[str, Any]:
    common = {"seed": 1, "model.units": 8, "text.vocab_size": 50, "data.watch": "x"}
    metrics = {"bleu_4": score, "cider": 10 * score, "val_loss": 1 - score}
    return {"params": common | params, "metrics": metrics, "run_hash": f"{params}"[:40]}


GRID = [
    point(units / 100 + words / 10000 + seed / 1000, **{"model.units": units, "text.vocab_size": words, "seed": seed})
    for units in (8, 16, 32)
    for words in (50, 100)
    for seed in (1, 2, 3)
]


def test_seeds_are_gathered_and_what_differs_is_the_dimension() -> None:
    rows = rows_of(GRID)
    assert len(rows) == 6
    assert all(set(row.values) == {"model.units", "text.vocab_size"} for row in rows)
    assert rows[0].mean("bleu_4") == sum(row["metrics"]["bleu_4"] for row in GRID[:3]) / 3
    assert abs(rows[0].spread("bleu_4") - 0.001) < 1e-12


def test_the_best_comes_first_whatever_best_means() -> None:
    rows = rows_of(GRID)
    assert sort_rows(rows, "bleu_4")[0].values == {"model.units": 32, "text.vocab_size": 100}
    assert sort_rows(rows, "val_loss")[0].values == {"model.units": 32, "text.vocab_size": 100}
    cells = table_of(sort_rows(rows, "bleu_4"), ["bleu_4"])
    assert cells[0] == ["model.units", "text.vocab_size", "bleu_4", "seeds", "run"]
    assert cells[1][:4] == ["32", "100", "0.3320 ± 0.0010", "3"]


def test_the_verdict() -> None:
    def best_two(*scores: list[float]) -> str:
        points = [
            point(score, **{"model.units": units, "seed": seed})
            for units, of_units in enumerate(scores)
            for seed, score in enumerate(of_units)
        ]
        return verdict(sort_rows(rows_of(points), "bleu_4"), "bleu_4")

    assert "are told apart" in best_two([0.50, 0.51, 0.52], [0.40, 0.41, 0.42])
    assert "are NOT told apart" in best_two([0.50, 0.45, 0.40], [0.49, 0.44, 0.39])
    assert "with one seed each" in best_two([0.5], [0.4])
    assert "nothing to compare" in best_two([0.5, 0.4])


def test_the_figures(tmp_path: Path) -> None:
    rows = rows_of(GRID)
    draw(rows, "bleu_4", tmp_path / "one.png")
    draw(rows, "bleu_4", tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    wide = Image.open(tmp_path / "one.png").width
    # Without a second dimension there is no heat map.
    draw(rows_of([point(0.1), point(0.2, **{"model.units": 9})]), "bleu_4", tmp_path / "three.png")
    assert Image.open(tmp_path / "three.png").width < wide / 2
