"""Captions for features: chooses the search, runs it batch by batch, and turns ids into words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from captioner import config
from captioner.decode.search import Beam, Network, Search, TopK
from captioner.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    Attributes:
        words: without ``<end>``.
        score: log p, for a beam divided by words ** length_penalty.
        attention_TxP: float32, one row a word and one for ``<end>``.
    """

    words: list[str]
    score: float
    attention_TxP: np.ndarray

    @property
    def text(self) -> str:
        return " ".join(self.words)


def make_search(network: Network, decode: config.Decode, max_length: int) -> Search:
    """The search that ``decode.strategy`` names."""
    if decode.strategy == "beam":
        return Beam(network, max_length, decode.min_length, decode.beam_size, decode.length_penalty)
    k = 1 if decode.strategy == "greedy" else decode.top_k
    return TopK(network, max_length, decode.min_length, k, decode.temperature)


def write_captions(
    search: Search,
    vocabulary: Vocabulary,
    features_NxPxC: np.ndarray,
    seeds: Sequence[tuple[int, ...]],
    batch_size: int,
) -> list[Caption]:
    """One caption for each row of features.

    Args:
        search: see `make_search`.
        vocabulary: the model's.
        features_NxPxC: float16; may be memory-mapped.
        seeds: what each row's draws are seeded by, so that they depend on nothing else.
        batch_size: rows at once; a shorter batch is filled up, so that one graph is compiled for all.
    """
    captions: list[Caption] = []
    firsts = range(0, len(features_NxPxC), batch_size)
    quiet = not sys.stderr.isatty()
    for first in track(firsts, description="sample", console=Console(stderr=True), disable=quiet):
        features_BxPxC = np.asarray(features_NxPxC[first : first + batch_size])
        noise = _gumbel_noise(search, seeds[first : first + batch_size])
        found = _run(search, {"features": features_BxPxC, **noise}, batch_size)
        for ids_T, score, attention_TxP in zip(found["ids"], found["score"], found["attention"], strict=True):
            words = vocabulary.decode(ids_T)
            captions.append(Caption(words, float(score), attention_TxP[: len(words) + 1]))
    return captions


def _gumbel_noise(search: Search, seeds: Sequence[tuple[int, ...]]) -> dict[str, np.ndarray]:
    if not isinstance(search, TopK):
        return {}
    shape = (search.steps, search.k)
    rows = [np.random.default_rng(seed).gumbel(size=shape) for seed in seeds]
    return {"noise": np.asarray(rows, np.float32)}


def _run(search: Search, inputs: dict[str, np.ndarray], batch_size: int) -> dict[str, Any]:
    """Runs a batch, filled up with its last row."""
    rows = len(inputs["features"])
    filled = {
        key: np.concatenate([value, np.repeat(value[-1:], batch_size - rows, axis=0)]) for key, value in inputs.items()
    }
    return {key: value[:rows] for key, value in search.predict_on_batch(filled).items()}
