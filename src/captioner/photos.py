"""`captioner caption`: captions for any picture, with the model that the workspace holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from captioner.backend import use_backend
from captioner.config import Params, UserError, read_params
from captioner.stages import MODEL, TOKENS


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
    # The extractor needs tensorflow; the captioner's weights are the same on every backend.
    use_backend("tensorflow")
    from captioner.data.extractors import Extractor
    from captioner.score.figures import attention_maps

    extractor = Extractor(params.data.extractor)
    captions = _captions(params, extractor.features_of(pictures), number)
    for row, (photo, picture) in enumerate(zip(photos, pictures, strict=True)):
        of_photo = captions[row * number : (row + 1) * number]
        if len(photos) > 1 or number > 1:
            print(f"{photo}:")
        for caption in of_photo:
            print(caption.text)
        if figure:
            words, path = of_photo[0].words, Path(f"{photo.stem}.attention.png")
            attention_maps(extractor.seen(picture), words, of_photo[0].attention_TxP[: len(words)], path)
            print(f"attention: {path}")


def _captions(params: Params, features_NxPxC: np.ndarray, number: int) -> list:
    """``number`` captions for each picture, those of a picture together."""
    from captioner.decode.captions import make_search, write_captions
    from captioner.model.store import read_model
    from captioner.text.vocabulary import Vocabulary

    network, shape = read_model(MODEL)
    wanted = (shape["positions"], shape["channels"])
    if features_NxPxC.shape[1:] != wanted:
        raise UserError(
            f"{params.data.extractor.name} gives features of {features_NxPxC.shape[1:]}, the model was trained on "
            f"{wanted}: params.yaml has changed since; run `dvc repro`"
        )
    decode = params.decode if number == 1 else params.decode.model_copy(update={"strategy": "top_k"})
    search = make_search(network, decode, params.text.max_length)
    seeds = [(params.seed, draw) for _ in features_NxPxC for draw in range(number)]
    repeated = np.repeat(features_NxPxC, number, axis=0)
    return write_captions(search, Vocabulary.read(TOKENS / "vocabulary.txt"), repeated, seeds, decode.batch_size)
