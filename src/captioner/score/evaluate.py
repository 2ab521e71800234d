"""Scores the captions of a split against all true ones, and draws what people look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.config import UserError
from captioner.data.tables import CaptionTable, picture_path, read_captions
from captioner.disk import fresh_folder, reading
from captioner.score.diagram import draw_model, model_in_words
from captioner.score.each import write_each
from captioner.score.figures import attention_maps, caption_sheet, loss_curves
from captioner.score.habits import habits
from captioner.score.intervals import intervals
from captioner.score.metrics import score_captions
from captioner.score.page import Shown, page
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

_BARS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")


@dataclass(frozen=True)
class Attention:
    """Where the network looked as it captioned a picture: T words, and for each its weights over P positions."""

    words: list[str]
    weights_TxP: NDArray[np.float32]


def evaluate(
    captions: Path,
    attention: Path,
    model: Path,
    prepared: Path,
    tokens: Path,
    split: str,
    figure_pictures: int,
    out: Path,
) -> dict[str, float]:
    """Scores `captions` and writes under `out` `metrics.json`, `intervals.json` (the 95 % interval of each score),
    `each.csv` (what each caption contributes), `losses.csv` (by epoch) and `scores.csv` for `dvc plots`, `index.html`
    and `figures/` (model, loss, captions, attention).

    Args:
        captions: COCO's results format, one caption for each picture of the split.
        attention: a folder with captions.json (F of image_id and words) and weights.npy [F, T, P].
        model: the folder with the model's config.json and history.json, in which `best_epoch` is the epoch whose
            weights were kept.
        prepared: the folder with the `captions` and `pictures` of the splits.
        tokens: the folder with the vocabulary and the training captions' ids.
        figure_pictures: pictures on the sheet, on the page and in the attention maps, spread evenly over those at hand.

    Returns:
        What `metrics.json` holds, rounded to 6 digits: bleu_1 .. bleu_4, rouge_l, cider, what `habits` says, and of the
        kept epoch val_loss (nats a token) and val_loss_word (nats a word); and what `intervals.json` holds, as
        bleu_4_low, bleu_4_high and so on.

    Raises:
        UserError: the captions are not those of this split, or a file that another stage wrote is missing or damaged.
    """
    table = read_captions(prepared / "captions", split)
    hypotheses = _read_captions(captions, split, table)
    attended = _read_attention(attention)
    training, shape = _read_json(model / "history.json"), _read_json(model / "config.json")
    scores = score_captions(hypotheses, dict(zip(table.image_ids, table.captions, strict=True)))
    vocabulary, known = Vocabulary.read(tokens / "vocabulary.txt"), TokenizedCaptions.read(tokens / "train")
    written = habits(hypotheses.values(), vocabulary, known)
    metrics = _rounded(scores.metrics | written | _validation_losses(training))
    ranges = intervals(scores)
    ends = _rounded({f"{name}_{end}": value for name in ranges for end, value in ranges[name]._asdict().items()})

    figures = out / "figures"
    fresh_folder(figures / "attention")
    cider = dict(zip(scores.image_ids, scores.cider_N.tolist(), strict=True))
    shown = _draw_pictures(table, hypotheses, cider, attended, prepared, split, figure_pictures, figures)
    loss_curves(training, figures / "loss.png")
    draw_model(shape, figures / "model.png")
    html = page(metrics | ends, split, len(hypotheses), figures, model_in_words(shape), shown)
    (out / "index.html").write_text(html, encoding="utf-8")
    (out / "each.csv").write_text(write_each(scores, hypotheses), encoding="utf-8")
    _write_numbers(out, metrics, ends, training)
    return metrics | ends


def _write_numbers(out: Path, metrics: dict[str, float], ends: dict[str, float], training: dict[str, Any]) -> None:
    for name, values in (("metrics", metrics), ("intervals", ends)):
        (out / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    (out / "losses.csv").write_text(_losses(training), encoding="utf-8")
    bars = "".join(f"{name},{metrics[name]}\n" for name in _BARS)
    (out / "scores.csv").write_text("metric,score\n" + bars, encoding="utf-8")


def _read_json(path: Path) -> Any:
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in sorted(values.items())}


def _losses(history: dict[str, Any]) -> str:
    columns = ("epoch", "loss", "val_loss")
    lines = [columns, *([str(entry[column]) for column in columns] for entry in history["epochs"])]
    return "".join(",".join(line) + "\n" for line in lines)


def _draw_pictures(
    table: CaptionTable,
    hypotheses: dict[int, str],
    cider: dict[int, float],
    attention: dict[int, Attention],
    prepared: Path,
    split: str,
    count: int,
    figures: Path,
) -> list[Shown]:
    """Draws the sheet and the attention maps of at most `count` pictures; returns what the page shows of them."""
    shown = []
    references = dict(zip(table.image_ids, table.captions, strict=True))
    paths = {image_id: picture_path(prepared / "pictures", split, image_id) for image_id in attention}
    for image_id, path in _spread([(image_id, path) for image_id, path in paths.items() if path], count):
        picture_SxSx3 = np.asarray(Image.open(path).convert("RGB"))
        maps = figures / "attention" / f"{image_id}.png"
        words, weights_TxP = attention[image_id].words, attention[image_id].weights_TxP
        attention_maps(picture_SxSx3, words, weights_TxP, maps)
        captions = hypotheses[image_id], references[image_id]
        shown.append(Shown(image_id, picture_SxSx3, *captions, cider[image_id], words, weights_TxP))
    sheet = [(picture.picture_SxSx3, picture.caption, picture.references) for picture in shown]
    caption_sheet(sheet, figures / "captions.png")
    return shown


def _read_captions(path: Path, split: str, table: CaptionTable) -> dict[int, str]:
    """Captions by image id.

    Raises:
        UserError: they are not of the pictures of the table.
    """
    captions = {entry["image_id"]: entry["caption"] for entry in _read_json(path)}
    if captions.keys() != set(table.image_ids):
        raise UserError(f"{path} does not hold the captions of the {split} split's pictures: run `dvc repro`")
    return captions


def _read_attention(folder: Path) -> dict[int, Attention]:
    """Attention by image id, without the padding and without the row for the end of the caption."""
    captions = _read_json(folder / "captions.json")
    with reading(folder / "weights.npy"):
        weights_FxTxP = np.load(folder / "weights.npy")
    return {
        caption["image_id"]: Attention(caption["words"], weights_TxP[: len(caption["words"])])
        for caption, weights_TxP in zip(captions, weights_FxTxP, strict=True)
    }


def _validation_losses(history: dict[str, Any]) -> dict[str, float]:
    best = next(entry for entry in history["epochs"] if entry["epoch"] == history["best_epoch"])
    return {name: float(best[name]) for name in ("val_loss", "val_loss_word")}


def _spread(items: list[tuple[int, Path]], count: int) -> list[tuple[int, Path]]:
    """At most `count` items, evenly spaced, the first one always among them."""
    count = min(count, len(items))
    return [items[row * len(items) // count] for row in range(count)]
