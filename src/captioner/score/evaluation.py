"""The stage ``evaluate``: scores of a split's captions, and the files under ``reports/``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.common.reading import reading_stage_output
from captioner.common.writing import make_empty_folder
from captioner.data.captions_table import read_captions_table
from captioner.data.images import image_path
from captioner.score.bootstrap import bootstrap_intervals
from captioner.score.diversity import diversity_metrics
from captioner.score.metrics import Scores, explain_references, score_captions
from captioner.score.per_image import format_per_image
from captioner.score.report.figures import draw_attention_maps, draw_caption_sheet, draw_loss_curves
from captioner.score.report.model_diagram import describe_model, draw_model
from captioner.score.report.page import GalleryImage, render_page
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

_PLOTTED_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")


@dataclass(frozen=True)
class Attention:
    """The T words of a caption, and the attention weights of each over P positions."""

    words: list[str]
    weights_TxP: NDArray[np.float32]


@dataclass(frozen=True)
class _Inputs:
    """The files that other stages wrote. ``config`` and ``history`` are the model's JSON files."""

    captions: dict[int, str]
    references: dict[int, list[str]]
    attention: dict[int, Attention]
    config: dict[str, Any]
    history: dict[str, Any]
    vocabulary: Vocabulary
    training: TokenizedCaptions


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
    inputs = _read_inputs(workspace, split)
    scores = score_captions(inputs.captions, inputs.references)
    diversity = diversity_metrics(inputs.captions.values(), inputs.vocabulary, inputs.training)
    metrics = _sort_and_round(scores.metrics | diversity | _select_validation_losses(inputs.history))
    intervals = _sort_and_round(
        {
            f"{name}_{end}": value
            for name, interval in bootstrap_intervals(scores).items()
            for end, value in interval._asdict().items()
        }
    )
    figures = workspace.figures
    make_empty_folder(figures / "attention")
    gallery = _load_gallery(inputs, scores, workspace.images, split, figure_images)
    _draw_gallery(gallery, figures)
    draw_loss_curves(inputs.history, figures / "loss.png")
    draw_model(inputs.config, figures / "model.png")
    description = describe_model(inputs.config)
    notes = explain_references(inputs.references)
    html = render_page(metrics | intervals, split, len(inputs.captions), notes, figures, description, gallery)
    workspace.page.write_text(html, encoding="utf-8")
    workspace.per_image.write_text(format_per_image(scores, inputs.captions), encoding="utf-8")
    _write_numbers(workspace, metrics, intervals, inputs.history)
    return metrics | intervals


def _read_inputs(workspace: Workspace, split: str) -> _Inputs:
    """Read the outputs of the other stages.

    Raises:
        UserError: as `evaluate_captions`.
    """
    table = read_captions_table(workspace.captions, split)
    captions = {entry["image_id"]: entry["caption"] for entry in _read_json(workspace.generated_captions)}
    if captions.keys() != set(table.image_ids):
        raise UserError(
            f"{workspace.generated_captions} does not hold the captions of the {split} split's images: run `dvc repro`"
        )
    return _Inputs(
        captions=captions,
        references=dict(zip(table.image_ids, table.captions, strict=True)),
        attention=_read_attention(workspace.attention),
        config=_read_json(workspace.model_config),
        history=_read_json(workspace.history),
        vocabulary=Vocabulary.read(workspace.vocabulary),
        training=TokenizedCaptions.read(workspace.tokens / "train"),
    )


def _read_json(path: Path) -> Any:
    with reading_stage_output(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _read_attention(folder: Path) -> dict[int, Attention]:
    """Return attention by image id, without the padding and without the row of ``<end>``."""
    captions = _read_json(folder / "captions.json")
    with reading_stage_output(folder / "weights.npy"):
        weights_FxTxP = np.load(folder / "weights.npy")
    return {
        caption["image_id"]: Attention(caption["words"], weights_TxP[: len(caption["words"])])
        for caption, weights_TxP in zip(captions, weights_FxTxP, strict=True)
    }


def _select_validation_losses(history: dict[str, Any]) -> dict[str, float]:
    """Return the validation losses of the best epoch, whose weights are the model's."""
    best = next(entry for entry in history["epochs"] if entry["epoch"] == history["best_epoch"])
    return {name: float(best[name]) for name in ("val_loss", "val_loss_word")}


def _sort_and_round(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in sorted(values.items())}


def _load_gallery(inputs: _Inputs, scores: Scores, folder: Path, split: str, count: int) -> list[GalleryImage]:
    """Return at most ``count`` images of the folder with their captions, evenly spaced over those with attention."""
    cider = dict(zip(scores.image_ids, scores.cider_N.tolist(), strict=True))
    paths = {image_id: image_path(folder, split, image_id) for image_id in inputs.attention}
    stored = [(image_id, path) for image_id, path in paths.items() if path]
    return [
        GalleryImage(
            image_id=image_id,
            image_SxSx3=np.asarray(Image.open(path).convert("RGB")),
            caption=inputs.captions[image_id],
            references=inputs.references[image_id],
            cider=cider[image_id],
            words=inputs.attention[image_id].words,
            attention_TxP=inputs.attention[image_id].weights_TxP,
        )
        for image_id, path in _select_evenly(stored, count)
    ]


def _select_evenly(items: list[tuple[int, Path]], count: int) -> list[tuple[int, Path]]:
    """Return at most ``count`` items, evenly spaced, beginning with the first."""
    count = min(count, len(items))
    return [items[row * len(items) // count] for row in range(count)]


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
