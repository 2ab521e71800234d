"""Scores of the validation split's captions during the training, for the choice of the best epoch."""

from __future__ import annotations

import numpy as np

from captioner.common.paths import Workspace
from captioner.data.captions_table import read_captions_table
from captioner.data.features import read_features
from captioner.decode.sampling import TopKSampling
from captioner.decode.strategy import run_padded
from captioner.model.network import Captioner
from captioner.score.metrics import score_captions
from captioner.text.vocabulary import Vocabulary
from captioner.train.config import SCORES

BATCH_SIZE = 64  # images; not that of the section `decode`, on which a training must not depend


class GreedyScorer:
    """Captions the validation split by greedy search with the current weights, and scores the captions.

    Beam search would cost several times as much.

    Args:
        max_length: maximum number of words.
        workspace: holds captions, features and vocabulary.
    """

    def __init__(self, max_length: int, workspace: Workspace) -> None:
        table = read_captions_table(workspace.captions, "val")
        self._references = dict(zip(table.image_ids, table.captions, strict=True))
        self._features_NxPxC = read_features(workspace.features, "val")
        self._vocabulary = Vocabulary.read(workspace.vocabulary)
        self._max_length = max_length
        self._search: TopKSampling | None = None

    def __call__(self, network: Captioner) -> dict[str, float]:
        """Return ``val_cider`` and ``val_bleu_4``, as `score_captions` computes them; the same network in each call."""
        if self._search is None:  # it reads the network's variables, so one compiled graph serves all epochs
            self._search = TopKSampling(network, self._max_length, min_length=0, k=1, temperature=1.0)
        texts: list[str] = []
        for start in range(0, len(self._features_NxPxC), BATCH_SIZE):
            features_BxPxC = np.asarray(self._features_NxPxC[start : start + BATCH_SIZE])
            noise_BxTx1 = np.zeros((len(features_BxPxC), self._search.steps, 1), np.float32)
            outputs = run_padded(self._search, {"features": features_BxPxC, "noise": noise_BxTx1}, BATCH_SIZE)
            texts += [" ".join(self._vocabulary.decode(ids_T)) for ids_T in outputs["ids"]]
        captions = dict(zip(self._references, texts, strict=True))
        metrics = score_captions(captions, self._references, parallel=False).metrics  # SIGTERM must not stop it
        return {score: metrics[score.removeprefix("val_")] for score in SCORES}


def make_scorer(monitor: str, max_length: int, workspace: Workspace) -> GreedyScorer | None:
    """Return the scorer that ``train.monitor`` needs, or None for a loss."""
    return GreedyScorer(max_length, workspace) if monitor in SCORES else None
