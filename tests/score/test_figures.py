"""The figures: their shape and content, and that equal content gives equal bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.score.report.figures import draw_attention_maps, draw_caption_sheet, draw_loss_curves, join_punctuation

HISTORY: dict[str, Any] = {
    "epochs": [
        {"epoch": n, "loss": 3 / n, "val_loss": 1 + (n - 3) ** 2 / 9, "val_loss_word": 2.0} for n in range(1, 6)
    ],
    "steps": [{"step": n, "loss": 30 / n} for n in range(1, 41)],
    "best_epoch": 3,
}


def noise_image(size: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def read_pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).random((3, 9)).astype(np.float32)
    for folder in (tmp_path / "one", tmp_path / "two"):
        draw_loss_curves(HISTORY, folder / "loss.png")
        draw_caption_sheet([(noise_image(), "a dog .", ["A dog .", "dogs $x_1$"])] * 6, folder / "sheet.png")
        draw_attention_maps(noise_image(), ["a", "$dog$", "x" * 50], weights, folder / "attention.png")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert not Image.open(path).text  # type: ignore[attr-defined]


def test_loss_curves_of_one_epoch_without_steps(tmp_path: Path) -> None:
    draw_loss_curves({"epochs": HISTORY["epochs"][:1], "steps": [], "best_epoch": 1}, tmp_path / "loss.png")
    assert read_pixels(tmp_path / "loss.png").std() > 1


def test_images_are_next_to_each_other_on_the_sheet(tmp_path: Path) -> None:
    red, blue = (np.full((8, 8, 3), color, np.uint8) for color in ([255, 0, 0], [0, 0, 255]))
    draw_caption_sheet([(red, "red", ["it is red"]), (blue, "", [])], tmp_path / "sheet.png")
    sheet = read_pixels(tmp_path / "sheet.png")
    half = sheet.shape[1] // 2
    assert (sheet[100, 100] == [255, 0, 0]).all()
    assert (sheet[100, half + 100] == [0, 0, 255]).all()
    assert (sheet[-1] == 255).all()


def test_long_captions_fit_on_the_sheet(tmp_path: Path) -> None:
    long = "a caption of very many words " * 12
    draw_caption_sheet([(noise_image(), long, [long] * 5)], tmp_path / "sheet.png")
    sheet = read_pixels(tmp_path / "sheet.png")
    assert sheet.shape[0] > 1000
    assert (sheet[-5:] == 255).all()
    assert (sheet[:, -5:] == 255).all()


def test_attention_brightens_the_position_with_the_weight(tmp_path: Path) -> None:
    green = np.full((40, 40, 3), [0, 255, 0], np.uint8)
    weights_TxP = np.zeros((1, 16), np.float32)
    weights_TxP[0, 3] = 1  # the upper right corner
    draw_attention_maps(green, ["corner"], weights_TxP, tmp_path / "map.png")
    figure = read_pixels(tmp_path / "map.png")
    panel = figure[-184:-4, figure.shape[1] // 2 + 4 :][:, :180]
    color = panel.max(axis=2) - panel.min(axis=2)
    assert color[5:20, -20:-5].mean() > 100
    assert color[-60:, :60].mean() < 5
    original = figure[-184:-4, 4:184]
    assert (original == [0, 255, 0]).all()


@pytest.mark.parametrize("shape", [(2, 9), (1, 8)])
def test_attention_of_the_wrong_shape_is_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="square maps"):
        draw_attention_maps(noise_image(), ["a"], np.ones(shape, np.float32), tmp_path / "map.png")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [("a dog , a cat .", "a dog, a cat."), ("at 5 .5 it", "at 5 .5 it"), (" a dog\n.", "a dog."), ("", "")],
)
def test_spaces_before_punctuation_are_removed(caption: str, expected: str) -> None:
    assert join_punctuation(caption) == expected
