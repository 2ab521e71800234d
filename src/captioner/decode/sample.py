"""Captions a split with the trained model, and keeps the attention of the pictures that will be drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from captioner.config import Params, UserError
from captioner.data.tables import picture_path, read_captions, read_features
from captioner.decode.captions import Caption, make_search, write_captions
from captioner.model.store import read_model
from captioner.text.vocabulary import Vocabulary


def sample(params: Params, prepared: Path, tokens: Path, model: Path, captions: Path, attention: Path) -> None:
    """Writes ``captions`` (COCO's results format) and ``attention`` (a folder, see `write_attention`).

    Raises:
        UserError: the split does not exist, or model and vocabulary do not belong together.
    """
    split = params.decode.split
    table = read_captions(prepared / "captions", split)
    features_NxPxC = read_features(prepared / "features", split)
    vocabulary = Vocabulary.read(tokens / "vocabulary.txt")
    network, _ = read_model(model)
    if network.vocab_size != len(vocabulary):
        raise UserError(
            f"{model} was trained with {network.vocab_size} words, {tokens}/vocabulary.txt has {len(vocabulary)}; "
            "run `dvc repro`"
        )
    search = make_search(network, params.decode, params.text.max_length)
    seeds = [(params.seed, image_id) for image_id in table.image_ids]
    found = write_captions(search, vocabulary, features_NxPxC, seeds, params.decode.batch_size)
    results = [{"image_id": i, "caption": c.text} for i, c in zip(table.image_ids, found, strict=True)]
    captions.parent.mkdir(parents=True, exist_ok=True)
    _write_lines(captions, results)
    pictured = [
        (image_id, caption)
        for image_id, caption in zip(table.image_ids, found, strict=True)
        if picture_path(prepared / "pictures", split, image_id)
    ]
    write_attention(pictured, attention)


def write_attention(captions: list[tuple[int, Caption]], folder: Path) -> None:
    """Writes the attention of F captions.

    ``captions.json`` lists for each its ``image_id`` and its ``words``; ``weights.npy`` is [F, T, P] float32: row t is
    where the model looked for word t, the row behind the last word is that of ``<end>``, and the rest is 0.
    """
    longest = max((len(caption.attention_TxP) for _, caption in captions), default=0)
    positions = captions[0][1].attention_TxP.shape[1] if captions else 0
    weights_FxTxP = np.zeros((len(captions), longest, positions), np.float32)
    for row, (_, caption) in enumerate(captions):
        weights_FxTxP[row, : len(caption.attention_TxP)] = caption.attention_TxP
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "weights.npy", weights_FxTxP)
    _write_lines(folder / "captions.json", [{"image_id": i, "words": caption.words} for i, caption in captions])


def _write_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    """A JSON list with a line for each entry."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
