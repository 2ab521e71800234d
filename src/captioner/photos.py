"""Captions for any picture: the CNN and the trained network behind one call, and `captioner caption`, which uses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from captioner import config
from captioner.backend import use_backend
from captioner.config import UserError, read_params
from captioner.stages import MODEL, TOKENS

if TYPE_CHECKING:
    from captioner.decode.captions import Caption


class PhotoCaptioner:
    """A frozen CNN and a trained network: pictures in, captions out.

    Keras must not have been imported with another backend than tensorflow, which the CNN needs; the network's weights
    are the same on every backend.

    Args:
        model: the folder that ``train`` wrote.
        vocabulary: the file that ``tokenize-adapt`` wrote.
        extractor: the CNN that the model was trained on.
        decode: how captions are written.
        max_length: words at most.

    Raises:
        UserError: there is no trained model, or the CNN is not the one that it was trained on.
    """

    def __init__(
        self, model: Path, vocabulary: Path, extractor: config.Extractor, decode: config.Decode, max_length: int
    ) -> None:
        use_backend("tensorflow")
        from captioner.data.extractors import Extractor
        from captioner.decode.captions import make_search
        from captioner.model.store import read_model
        from captioner.text.vocabulary import Vocabulary

        network, shape = read_model(model)
        self.extractor = Extractor(extractor)
        given, wanted = (self.extractor.positions, self.extractor.channels), (shape["positions"], shape["channels"])
        if given != wanted:
            raise UserError(
                f"{extractor.name} gives features of {given}, the model was trained on {wanted}: "
                "params.yaml has changed since; run `dvc repro`"
            )
        self._vocabulary = Vocabulary.read(vocabulary)
        self._search = make_search(network, decode, max_length)

    def captions_of(
        self, pictures: Sequence[bytes], seeds: Sequence[tuple[int, ...]], batch_size: int
    ) -> list[list[Caption]]:
        """For each picture one caption for each seed.

        Args:
            pictures: JPEG or PNG bytes; see `captioner.data.pictures`.
            seeds: what a caption's draws are seeded by.
            batch_size: captions at once; shorter batches are filled up.
        """
        from captioner.decode.captions import write_captions

        repeated_NxPxC = np.repeat(self.extractor.features_of(pictures), len(seeds), axis=0)
        all_seeds = [seed for _ in pictures for seed in seeds]
        captions = write_captions(self._search, self._vocabulary, repeated_NxPxC, all_seeds, batch_size)
        return [captions[first : first + len(seeds)] for first in range(0, len(captions), len(seeds))]


def caption_photos(photos: list[Path], number: int, figure: bool) -> None:
    """Prints ``number`` captions of each photo; more than one are drawn at random, seeded.

    Args:
        photos: pictures in any format that Pillow reads.
        number: captions a photo.
        figure: also write ``NAME.attention.png`` into the current folder: where the model looked for each word of
            the first caption.

    Raises:
        UserError: a photo is no picture, or no model has been trained here.
    """
    params = read_params()
    if not (MODEL / "config.json").exists():
        raise UserError(f"there is no trained model in {MODEL.absolute()}: run `dvc repro` in the repository first")
    from captioner.data.pictures import picture_bytes

    pictures = [picture_bytes(photo) for photo in photos]
    decode = params.decode if number == 1 else params.decode.model_copy(update={"strategy": "top_k"})
    captioner = PhotoCaptioner(MODEL, TOKENS / "vocabulary.txt", params.data.extractor, decode, params.text.max_length)
    from captioner.data.extractors import decoded  # needs the backend

    for photo, picture in zip(photos, pictures, strict=True):
        decoded(picture, str(photo))
    seeds = [(params.seed, draw) for draw in range(number)]
    captions = captioner.captions_of(pictures, seeds, min(decode.batch_size, number * len(pictures)))
    for photo, picture, of_photo in zip(photos, pictures, captions, strict=True):
        if len(photos) > 1 or number > 1:
            print(f"{photo}:")
        for caption in of_photo:
            print(caption.text)
        if figure:
            from captioner.score.figures import attention_maps

            words, path = of_photo[0].words, Path(f"{photo.stem}.attention.png")
            attention_maps(captioner.extractor.seen(picture), words, of_photo[0].attention_TxP[: len(words)], path)
            print(f"attention: {path}")
