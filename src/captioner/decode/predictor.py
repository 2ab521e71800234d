"""Captions for any image: the CNN and the trained network together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captioner.common.backend import use_backend
from captioner.common.errors import UserError
from captioner.data.config import ExtractorConfig
from captioner.decode.config import DecodeConfig

if TYPE_CHECKING:
    from captioner.decode.generate import Caption


class Predictor:
    """A frozen CNN, a trained network and a decoding strategy: images in, captions out.

    The CNN needs Keras with the tensorflow backend, so Keras must not have been imported with another one. The
    network's weights are the same for every backend.

    Args:
        model: the folder that the stage ``train`` wrote.
        vocabulary: the file that the stage ``tokenize-adapt`` wrote.
        extractor: the CNN that the model was trained with.
        decode: the decoding strategy and its settings.
        max_length: maximum number of words.

    Raises:
        UserError: the folder holds no trained model, or the model was trained with another CNN.
    """

    def __init__(
        self, model: Path, vocabulary: Path, extractor: ExtractorConfig, decode: DecodeConfig, max_length: int
    ) -> None:
        use_backend("tensorflow")
        from captioner.data.extractors import Extractor
        from captioner.decode.generate import make_strategy
        from captioner.model.saving import load_model
        from captioner.text.vocabulary import Vocabulary

        network, sizes = load_model(model)
        self.extractor = Extractor(extractor)
        features = self.extractor.positions, self.extractor.channels
        expected = sizes["positions"], sizes["channels"]
        if features != expected:
            raise UserError(
                f"{extractor.name} gives features of {features}, the model was trained on {expected}: "
                "params.yaml has changed since; run `dvc repro`"
            )
        self._vocabulary = Vocabulary.read(vocabulary)
        self._strategy = make_strategy(network, decode, max_length)

    def predict(
        self, images: Sequence[bytes], seeds: Sequence[tuple[int, ...]], batch_size: int
    ) -> list[list[Caption]]:
        """Return one caption per seed for each image.

        Args:
            images: JPEG or PNG bytes, as from `captioner.data.images.read_image`.
            seeds: the seeds of the samples.
            batch_size: captions per batch; a shorter batch is padded.
        """
        from captioner.decode.generate import generate_captions

        repeated_NxPxC = np.repeat(self.extractor.extract_from_bytes(images), len(seeds), axis=0)
        all_seeds = [seed for _ in images for seed in seeds]
        captions = generate_captions(self._strategy, self._vocabulary, repeated_NxPxC, all_seeds, batch_size)
        return [captions[start : start + len(seeds)] for start in range(0, len(captions), len(seeds))]
