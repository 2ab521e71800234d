"""Captions for features: the choice of the decoding strategy, its batches, and the stage ``sample``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from captioner.common.console import progress_bar
from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import read_captions_table
from captioner.data.features import read_features
from captioner.data.images import image_path
from captioner.decode.beam_search import BeamSearch
from captioner.decode.config import DecodeConfig
from captioner.decode.sampling import TopKSampling
from captioner.decode.strategy import DecodingStrategy, StepNetwork
from captioner.model.saving import load_model
from captioner.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    Attributes:
        words: the T words, without ``<end>``.
        score: log p of the caption; after beam search, divided by words ** length_penalty.
        attention_TxP: float32 attention weights: a row per word, and a last row for ``<end>``.
    """

    words: list[str]
    score: float
    attention_TxP: np.ndarray

    @property
    def text(self) -> str:
        return " ".join(self.words)


def make_strategy(network: StepNetwork, decode: DecodeConfig, max_length: int) -> DecodingStrategy:
    """Return the decoding strategy that ``decode.strategy`` names."""
    if decode.strategy == "beam":
        return BeamSearch(network, max_length, decode.min_length, decode.beam_size, decode.length_penalty)
    k = 1 if decode.strategy == "greedy" else decode.top_k
    return TopKSampling(network, max_length, decode.min_length, k, decode.temperature)


def generate_captions(
    strategy: DecodingStrategy,
    vocabulary: Vocabulary,
    features_NxPxC: np.ndarray,
    seeds: Sequence[tuple[int, ...]],
    batch_size: int,
) -> list[Caption]:
    """Return a caption for each of N images.

    Args:
        strategy: as from `make_strategy`.
        vocabulary: that of the model.
        features_NxPxC: float16; may be memory-mapped.
        seeds: N seeds; an image's samples depend only on its seed, not on the batch.
        batch_size: images per batch; a shorter batch is padded, so that only one graph is compiled.
    """
    captions: list[Caption] = []
    starts = range(0, len(features_NxPxC), batch_size)
    with progress_bar() as progress:
        for start in progress.track(starts, description="sample"):
            features_BxPxC = np.asarray(features_NxPxC[start : start + batch_size])
            noise = _draw_gumbel_noise(strategy, seeds[start : start + batch_size])
            outputs = _run_padded(strategy, {"features": features_BxPxC, **noise}, batch_size)
            for ids_T, score, attention_TxP in zip(outputs["ids"], outputs["score"], outputs["attention"], strict=True):
                words = vocabulary.decode(ids_T)
                captions.append(Caption(words, float(score), attention_TxP[: len(words) + 1]))
    return captions


def caption_split(seed: int, max_length: int, decode: DecodeConfig, workspace: Workspace) -> None:
    """Caption the images of ``decode.split``; write the captions (COCO's results format) and their attention.

    Raises:
        UserError: the split does not exist, or the model was trained with another vocabulary.
    """
    table = read_captions_table(workspace.captions, decode.split)
    features_NxPxC = read_features(workspace.features, decode.split)
    vocabulary = Vocabulary.read(workspace.vocabulary)
    network, _ = load_model(workspace.model)
    if network.vocab_size != len(vocabulary):
        raise UserError(
            f"{workspace.model} was trained with {network.vocab_size} words, {workspace.vocabulary} has "
            f"{len(vocabulary)}; run `dvc repro`"
        )
    strategy = make_strategy(network, decode, max_length)
    seeds = [(seed, image_id) for image_id in table.image_ids]
    captions = generate_captions(strategy, vocabulary, features_NxPxC, seeds, decode.batch_size)
    by_image = list(zip(table.image_ids, captions, strict=True))
    workspace.generated_captions.parent.mkdir(parents=True, exist_ok=True)
    _write_json_list(
        workspace.generated_captions,
        [{"image_id": image_id, "caption": caption.text} for image_id, caption in by_image],
    )
    with_image = [pair for pair in by_image if image_path(workspace.images, decode.split, pair[0])]
    write_attention(with_image, workspace.attention)


def write_attention(captions: list[tuple[int, Caption]], folder: Path) -> None:
    """Write the attention weights of F captions into a folder.

    ``captions.json`` holds the ``image_id`` and the ``words`` of each caption. ``weights.npy`` is [F, T, P] float32: a
    row per word, then the row of ``<end>``, then zeros.
    """
    longest = max((len(caption.attention_TxP) for _, caption in captions), default=0)
    positions = captions[0][1].attention_TxP.shape[1] if captions else 0
    weights_FxTxP = np.zeros((len(captions), longest, positions), np.float32)
    for row, (_, caption) in enumerate(captions):
        weights_FxTxP[row, : len(caption.attention_TxP)] = caption.attention_TxP
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "weights.npy", weights_FxTxP)
    _write_json_list(
        folder / "captions.json", [{"image_id": image_id, "words": caption.words} for image_id, caption in captions]
    )


def _draw_gumbel_noise(strategy: DecodingStrategy, seeds: Sequence[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the input ``noise`` if the strategy samples."""
    if not isinstance(strategy, TopKSampling):
        return {}
    shape = (strategy.steps, strategy.k)
    rows = [np.random.default_rng(seed).gumbel(size=shape) for seed in seeds]
    return {"noise": np.asarray(rows, np.float32)}


def _run_padded(strategy: DecodingStrategy, inputs: dict[str, np.ndarray], batch_size: int) -> dict[str, Any]:
    """Run a batch that is padded to ``batch_size`` with copies of its last row; return the outputs of its rows."""
    rows = len(inputs["features"])
    padded = {
        key: np.concatenate([value, np.repeat(value[-1:], batch_size - rows, axis=0)]) for key, value in inputs.items()
    }
    return {key: value[:rows] for key, value in strategy.predict_on_batch(padded).items()}


def _write_json_list(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a JSON list with one entry per line."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
