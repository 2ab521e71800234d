"""Captions for features: the choice of the decoding strategy, its batches, and the stage ``sample``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from captioner.common.console import progress_bar
from captioner.common.paths import Workspace
from captioner.data.captions_table import read_captions_table
from captioner.data.features import read_extractor_identity, read_features
from captioner.data.images import image_path
from captioner.decode.attention import CaptionAttention, compute_attention
from captioner.decode.beam_search import BeamSearch
from captioner.decode.config import DecodeConfig
from captioner.decode.sampling import TopKSampling
from captioner.decode.strategy import DecodingStrategy, StepNetwork, run_padded
from captioner.model.saving import load_model
from captioner.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    Attributes:
        words: the T words, without ``<end>``.
        score: the network's log p of the caption; after beam search, divided by words ** length_penalty.
    """

    words: list[str]
    score: float

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

    The features are float16 and may be memory-mapped. An image's samples depend only on its seed, not on the batch. A
    batch that is shorter than ``batch_size`` is padded, so that only one graph is compiled.
    """
    captions: list[Caption] = []
    starts = range(0, len(features_NxPxC), batch_size)
    with progress_bar() as progress:
        for start in progress.track(starts, description="sample"):
            features_BxPxC = np.asarray(features_NxPxC[start : start + batch_size])
            noise = _draw_gumbel_noise(strategy, seeds[start : start + batch_size])
            outputs = run_padded(strategy, {"features": features_BxPxC, **noise}, batch_size)
            captions += [
                Caption(vocabulary.decode(ids_T), float(score))
                for ids_T, score in zip(outputs["ids"], outputs["score"], strict=True)
            ]
    return captions


def caption_split(seed: int, max_length: int, decode: DecodeConfig, workspace: Workspace) -> None:
    """Caption the images of ``decode.split``; write the captions (COCO's results format).

    For the images that figures show, write the attention of the captions too.

    Raises:
        UserError: the split does not exist, or the model was trained with another CNN or vocabulary.
    """
    table = read_captions_table(workspace.captions, decode.split)
    features_NxPxC = read_features(workspace.features, decode.split)
    vocabulary = Vocabulary.read(workspace.vocabulary)
    network, inputs = load_model(workspace.model)
    inputs.check(read_extractor_identity(workspace.features), vocabulary)
    strategy = make_strategy(network, decode, max_length)
    seeds = [(seed, image_id) for image_id in table.image_ids]
    captions = generate_captions(strategy, vocabulary, features_NxPxC, seeds, decode.batch_size)
    workspace.reports.mkdir(parents=True, exist_ok=True)
    results = zip(table.image_ids, [caption.text for caption in captions], strict=True)
    _write_json_list(workspace.generated_captions, [{"image_id": image, "caption": text} for image, text in results])
    rows = [row for row, image in enumerate(table.image_ids) if image_path(workspace.images, decode.split, image)]
    words = [captions[row].words for row in rows]
    attention = compute_attention(CaptionAttention(network, max_length), vocabulary, features_NxPxC[rows], words)
    drawn = zip([table.image_ids[row] for row in rows], words, strict=True)
    write_attention(list(drawn), attention, workspace.attention)


def write_attention(captions: list[tuple[int, list[str]]], attention: list[np.ndarray], folder: Path) -> None:
    """Write the attention weights of F captions into a folder.

    ``captions.json`` holds the ``image_id`` and the ``words`` of each caption. ``weights.npy`` is [F, T, P] float32: a
    row per word, then the row of ``<end>``, then zeros.
    """
    longest = max(map(len, attention), default=0)
    positions = attention[0].shape[1] if attention else 0
    weights_FxTxP = np.zeros((len(attention), longest, positions), np.float32)
    for row, weights_TxP in enumerate(attention):
        weights_FxTxP[row, : len(weights_TxP)] = weights_TxP
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "weights.npy", weights_FxTxP)
    _write_json_list(folder / "captions.json", [{"image_id": image_id, "words": words} for image_id, words in captions])


def _draw_gumbel_noise(strategy: DecodingStrategy, seeds: Sequence[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the input ``noise`` if the strategy samples."""
    if not isinstance(strategy, TopKSampling):
        return {}
    noise_BxTxk = [np.random.default_rng(seed).gumbel(size=(strategy.steps, strategy.k)) for seed in seeds]
    return {"noise": np.asarray(noise_BxTxk, np.float32)}


def _write_json_list(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a JSON list with one entry per line."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
