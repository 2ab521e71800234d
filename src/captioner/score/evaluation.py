"""The stage ``evaluate``: scores of a split's captions, and the files under ``reports/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.common.reading import reading_stage_output
from captioner.common.writing import make_empty_folder
from captioner.data.captions_table import read_captions_table
from captioner.data.images import image_path
from captioner.score.bootstrap import bootstrap_intervals
from captioner.score.comparability import explain_references
from captioner.score.diversity import diversity_metrics
from captioner.score.metrics import Scores, score_captions
from captioner.score.per_image import format_per_image
from captioner.score.report.figures import draw_attention_maps, draw_caption_sheet, draw_loss_curves
from captioner.score.report.model_diagram import describe_model, draw_model
from captioner.score.report.page import GalleryImage, render_page
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

_Captions = dict[int, str]  # by image id
_References = dict[int, list[str]]  # likewise
_PLOTTED_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")


def evaluate_captions(workspace: Workspace, split: str, figure_images: int) -> dict[str, float]:
    """Score ``reports/captions.json`` and write the report.

    The files in ``reports/``: ``metrics.json``, ``intervals.json`` (the 95 % interval of each score),
    ``per_image.csv``, ``losses.csv`` (by epoch) and ``scores.csv`` for `dvc plots`, ``index.html`` and ``figures/``
    (model, loss, captions, attention).

    Args:
        workspace: holds the outputs of the other stages.
        split: the split that was captioned.
        figure_images: maximum number of images on the page and in the figures, evenly spaced over the stored images.

    Returns:
        The values of ``metrics.json``, rounded to 6 digits: bleu_1 .. bleu_4, rouge_l, cider, those of
        `diversity_metrics`, and of the best epoch val_loss (nats per token) and val_loss_word (nats per word). Also
        the values of ``intervals.json``: bleu_4_low, bleu_4_high and so on.

    Raises:
        UserError: the captions belong to another split, or a file of another stage is missing or damaged.
    """
    captions, references = _read_captions(workspace, split)
    config, history = _read_json(workspace.model_config), _read_json(workspace.history)
    vocabulary, training = Vocabulary.read(workspace.vocabulary), TokenizedCaptions.read(workspace.tokens / "train")
    scores = score_captions(captions, references)
    gallery = _load_gallery(workspace, split, figure_images, captions, references, scores)
    # The weights of the best epoch are the model's.
    best = next(entry for entry in history["epochs"] if entry["epoch"] == history["best_epoch"])
    losses = {name: float(best[name]) for name in ("val_loss", "val_loss_word")}
    metrics = _sort_and_round(scores.metrics | diversity_metrics(captions.values(), vocabulary, training) | losses)
    intervals = _sort_and_round(
        {
            f"{name}_{end}": value
            for name, interval in bootstrap_intervals(scores).items()
            for end, value in interval._asdict().items()
        }
    )
    figures = workspace.figures
    make_empty_folder(figures / "attention")
    _draw_gallery(gallery, figures)
    draw_loss_curves(history, figures / "loss.png")
    draw_model(config, figures / "model.png")
    notes, description = explain_references(references), describe_model(config)
    html = render_page(metrics | intervals, split, len(captions), notes, figures, description, gallery)
    workspace.page.write_text(html, encoding="utf-8")
    workspace.per_image.write_text(format_per_image(scores, captions), encoding="utf-8")
    _write_numbers(workspace, metrics, intervals, history)
    return metrics | intervals


def _read_captions(workspace: Workspace, split: str) -> tuple[_Captions, _References]:
    """Return the generated captions and the references of the split.

    Raises:
        UserError: as `evaluate_captions`.
    """
    table = read_captions_table(workspace.captions, split)
    path = workspace.generated_captions
    captions = {entry["image_id"]: entry["caption"] for entry in _read_json(path)}
    if captions.keys() != set(table.image_ids):
        raise UserError(f"{path} does not hold the captions of the {split} split's images: run `dvc repro`")
    return captions, dict(zip(table.image_ids, table.captions, strict=True))


def _read_json(path: Path) -> Any:
    with reading_stage_output(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _sort_and_round(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in sorted(values.items())}


def _load_gallery(
    workspace: Workspace, split: str, count: int, captions: _Captions, references: _References, scores: Scores
) -> list[GalleryImage]:
    """Return at most ``count`` of the stored images that have attention, evenly spaced, beginning with the first.

    The padding of the attention and its row of ``<end>`` are left out.
    """
    file = workspace.attention / "weights.npy"
    entries = _read_json(file.with_name("captions.json"))
    with reading_stage_output(file):
        weights_FxTxP = np.load(file)
    cider = dict(zip(scores.image_ids, scores.cider_N.tolist(), strict=True))
    stored = [
        (entry["image_id"], path, entry["words"], weights_TxP[: len(entry["words"])])
        for entry, weights_TxP in zip(entries, weights_FxTxP, strict=True)
        if (path := image_path(workspace.images, split, entry["image_id"]))
    ]
    count = min(count, len(stored))
    return [
        GalleryImage(
            image_id=image_id,
            image_SxSx3=np.asarray(Image.open(path).convert("RGB")),
            caption=captions[image_id],
            references=references[image_id],
            cider=cider[image_id],
            words=words,
            attention_TxP=weights_TxP,
        )
        for image_id, path, words, weights_TxP in (stored[row * len(stored) // count] for row in range(count))
    ]


def _draw_gallery(gallery: list[GalleryImage], figures: Path) -> None:
    """Draw the attention maps of each image, and the sheet of all."""
    for image in gallery:
        path = figures / "attention" / f"{image.image_id}.png"
        draw_attention_maps(image.image_SxSx3, image.words, image.attention_TxP, path)
    sheet = [(image.image_SxSx3, image.caption, image.references) for image in gallery]
    draw_caption_sheet(sheet, figures / "captions.png")


def _write_numbers(
    workspace: Workspace, metrics: dict[str, float], intervals: dict[str, float], history: dict[str, Any]
) -> None:
    """Write the JSON files, and the CSV files for `dvc plots`."""
    for path, values in ((workspace.metrics, metrics), (workspace.intervals, intervals)):
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    columns = ("epoch", "loss", "val_loss")
    losses = [columns, *([str(entry[column]) for column in columns] for entry in history["epochs"])]
    scores = [("metric", "score"), *((name, str(metrics[name])) for name in _PLOTTED_METRICS)]
    for name, rows in (("losses", losses), ("scores", scores)):
        text = "".join(",".join(row) + "\n" for row in rows)
        (workspace.reports / f"{name}.csv").write_text(text, encoding="utf-8")
