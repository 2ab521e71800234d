"""Captions and their attention for any image: the CNN and the trained network together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captioner.common.backend import use_backend
from captioner.data.config import ExtractorConfig
from captioner.decode.config import DecodeConfig

if TYPE_CHECKING:
    from captioner.decode.generate import Caption


class Predictor:
    """A frozen CNN, a trained network and a decoding strategy: from images to features, and from these to captions.

    ``model`` is the folder that the stage ``train`` wrote, and ``vocabulary`` the file of ``tokenize-adapt``. The CNN
    needs Keras with the tensorflow backend, so Keras must not have been imported with another one. The network's
    weights are the same for every backend.

    Raises:
        UserError: the folder holds no trained model, or the model was trained with another CNN or vocabulary.
    """

    def __init__(
        self, model: Path, vocabulary: Path, extractor: ExtractorConfig, decode: DecodeConfig, max_length: int
    ) -> None:
        use_backend("tensorflow")
        from captioner.data.extractors import Extractor
        from captioner.decode.attention import CaptionAttention
        from captioner.decode.generate import make_strategy
        from captioner.model.saving import load_model
        from captioner.text.vocabulary import Vocabulary

        network, inputs = load_model(model)
        self.extractor = Extractor(extractor)
        self._vocabulary = Vocabulary.read(vocabulary)
        inputs.check(self.extractor.identity, self._vocabulary)
        self._strategy = make_strategy(network, decode, max_length)
        self._attention = CaptionAttention(network, max_length)

    def predict(
        self, features_NxPxC: np.ndarray, seeds: Sequence[tuple[int, ...]], batch_size: int
    ) -> list[list[Caption]]:
        """Return one caption per seed for each of N images, whose features come from ``extractor``.

        ``batch_size`` counts captions; a shorter batch is padded.
        """
        from captioner.decode.generate import generate_captions

        repeated_NxPxC = np.repeat(features_NxPxC, len(seeds), axis=0)
        all_seeds = [seed for _ in features_NxPxC for seed in seeds]
        captions = generate_captions(self._strategy, self._vocabulary, repeated_NxPxC, all_seeds, batch_size)
        return [captions[start : start + len(seeds)] for start in range(0, len(captions), len(seeds))]

    def attend(self, features_NxPxC: np.ndarray, captions: Sequence[Caption]) -> list[np.ndarray]:
        """Return attention weights [T, P] for one caption of each of N images: a row for each of the T words."""
        from captioner.decode.attention import compute_attention

        words = [caption.words for caption in captions]
        attention = compute_attention(self._attention, self._vocabulary, features_NxPxC, words)
        return [weights_TxP[:-1] for weights_TxP in attention]
