"""Frozen CNNs: any model of ``keras.applications``, or the project's own small one, each with its own preprocessing."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from captioner import config
from captioner.config import UserError
from captioner.data import shapes_cnn
from captioner.disk import save_weights

if TYPE_CHECKING:
    import tensorflow as tf

# The side, in pixels, of the pictures that each network was made for, where it is not 224.
SIDES = {
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3", "Xception"), 299),
    **{"NASNetLarge": 331, "shapes_cnn": shapes_cnn.SIDE},
    **{"EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380},
    **{"EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600},
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}


def networks() -> dict[str, Callable[..., keras.Model]]:
    """The functions that build the networks, by the names that ``data.extractor.name`` takes."""
    listed = {name: getattr(keras.applications, name) for name in dir(keras.applications) if name[0].isupper()}
    return {"shapes_cnn": shapes_cnn.shapes_cnn} | {name: built for name, built in listed.items() if callable(built)}


def resize(image_HxWx3: tf.Tensor, side: int) -> tf.Tensor:
    """Squeezes pixels into a square: float32 [side, side, 3] from 0 to 255, bilinear with antialiasing."""
    import tensorflow as tf

    return tf.image.resize(image_HxWx3, (side, side), method="bilinear", antialias=True)


class Extractor:
    """A frozen CNN in inference mode, for pictures of ``side`` x ``side`` pixels.

    It gives ``positions`` x ``channels`` features a picture, the positions being the cells of its grid row by row.
    Keras must have tensorflow for its backend.

    Raises:
        UserError: no network has this name, or its weights are missing or made for another one.
    """

    def __init__(self, settings: config.Extractor) -> None:
        import tensorflow as tf

        build = _network(settings.name)
        self.side = SIDES.get(settings.name, 224)
        self.batch_size = settings.batch_size
        self._model = _with_weights(build, settings, self.side)
        self._preprocess = sys.modules[build.__module__].preprocess_input
        grid_height, grid_width, self.channels = self._model.output_shape[1:]
        self.positions = grid_height * grid_width
        pixels = tf.TensorSpec((None, self.side, self.side, 3), tf.float32)
        self._run = tf.function(self._features, input_signature=[pixels], jit_compile=False)

    def square(self, picture: tf.Tensor) -> tf.Tensor:
        """Decodes a picture's JPEG or PNG bytes: float32 [side, side, 3] from 0 to 255."""
        import tensorflow as tf

        return resize(tf.io.decode_image(picture, channels=3, expand_animations=False), self.side)

    def features(self, squares_BxSxSx3: tf.Tensor) -> np.ndarray:
        """Features of pictures that ``square`` gave: float16 [pictures, positions, channels]."""
        features_BxPxC: np.ndarray = self._run(squares_BxSxSx3).numpy()
        return features_BxPxC

    def features_of(self, pictures: Sequence[bytes]) -> np.ndarray:
        """Features of JPEG or PNG bytes, as ``prepare`` computes them: float16 [pictures, positions, channels].

        Raises:
            UserError: as `decoded`.
        """
        import tensorflow as tf

        firsts = range(0, len(pictures), self.batch_size)
        batches = [pictures[first : first + self.batch_size] for first in firsts]
        squares = ([resize(decoded(picture, "it"), self.side) for picture in batch] for batch in batches)
        return np.concatenate([self.features(tf.stack(of_batch)) for of_batch in squares])

    def write_weights(self, path: Path) -> None:
        """Writes the network's weights to a ``.weights.h5`` that ``data.extractor.weights`` takes."""
        save_weights(self._model, path)

    def seen(self, picture: bytes) -> np.ndarray:
        """The picture as the CNN sees it, for figures: uint8 [side, side, 3]."""
        return as_seen(self.square(picture).numpy())

    def _features(self, squares_BxSxSx3: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        grid_BxHxWxC = self._model(self._preprocess(squares_BxSxSx3), training=False)
        features_BxPxC = tf.reshape(grid_BxHxWxC, (-1, self.positions, self.channels))
        return tf.saturate_cast(features_BxPxC, tf.float16)


def decoded(picture: bytes | tf.Tensor, name: str) -> tf.Tensor:
    """A picture's JPEG or PNG bytes as pixels: uint8 [height, width, 3].

    Raises:
        UserError: tensorflow, which is stricter than Pillow, finds it damaged; the error calls it ``name``.
    """
    import tensorflow as tf

    try:
        return tf.io.decode_image(picture, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        reason = str(error.message).rpartition("}} ")[2].partition(" [Op")[0]
        raise UserError(f"{name} is damaged ({reason}): replace it") from None


def as_seen(square_SxSx3: np.ndarray) -> np.ndarray:
    """Float pixels from 0 to 255 as uint8, for figures."""
    return square_SxSx3.round().clip(0, 255).astype(np.uint8)


def _network(name: str) -> Callable[..., keras.Model]:
    known = networks()
    if name in known:
        return known[name]
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean {lower[near[0]]}?" if near else f"known: {', '.join(known)}"
    raise UserError(f"data.extractor.name is {name}, which is no network: {hint}")


def _with_weights(build: Callable[..., keras.Model], settings: config.Extractor, side: int) -> keras.Model:
    keras.utils.set_random_seed(0)  # for weights=null: the untrained network is the same in every process
    shape = (side, side, 3)
    if settings.weights == "imagenet":
        try:
            model = build(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # keras turns what the network does into bare Exceptions
            raise UserError(
                f"the ImageNet weights of {settings.name} could not be had ({_first_line(error)}): allow the download, "
                "or set data.extractor.weights to a file"
            ) from None
    else:
        model = build(include_top=False, weights=None, input_shape=shape)
        if settings.weights is not None:
            _load(model, settings)
    model.trainable = False
    return model


def _load(model: keras.Model, settings: config.Extractor) -> None:
    builtin = settings.weights == "builtin"
    path = shapes_cnn.BUILTIN_WEIGHTS if builtin else config.in_repository(str(settings.weights))
    if not path.is_file():
        raise UserError(f"data.extractor.weights: there is no file {path}")
    try:
        with warnings.catch_warnings():
            # Where a file lacks a layer, keras may only warn and leave the layer as it was: untrained.
            warnings.filterwarnings("error", message="Skipping nested container")
            model.load_weights(path)
    except Exception as error:  # keras and h5py raise all sorts on files that do not fit
        raise UserError(
            f"data.extractor.weights: {path} does not fit {settings.name} without its top ({_first_line(error)}): "
            "give weights that keras saved of this network as .weights.h5"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).split(". ")[0][:200]
