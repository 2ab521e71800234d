"""Frozen CNNs with their preprocessing: the models of ``keras.applications`` and the built-in ``shapes_cnn``."""

from __future__ import annotations

import difflib
import hashlib
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from captioner.common.errors import UserError, first_line
from captioner.common.paths import resolve_in_repository
from captioner.common.writing import save_weights
from captioner.data import shapes_cnn
from captioner.data.config import ExtractorConfig

# The image side in pixels that each network was trained with, where it is not 224.
INPUT_SIDES = {
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3", "Xception"), 299),
    **{"NASNetLarge": 331, "shapes_cnn": shapes_cnn.SIDE},
    **{"EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380},
    **{"EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600},
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}


def available_networks() -> dict[str, Callable[..., keras.Model]]:
    """Return the functions that build the networks, by the allowed values of ``data.extractor.name``."""
    candidates = {name: getattr(keras.applications, name) for name in dir(keras.applications) if name[0].isupper()}
    return {"shapes_cnn": shapes_cnn.shapes_cnn} | {
        name: build for name, build in candidates.items() if callable(build)
    }


def decode_image(image: bytes | tf.Tensor, name: str) -> tf.Tensor:
    """Return the pixels of a JPEG or PNG: uint8 [height, width, 3].

    Raises:
        UserError: tensorflow, which is stricter than Pillow, cannot decode the image; the error calls it ``name``.
    """
    try:
        return tf.io.decode_image(image, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        reason = str(error.message).rpartition("}} ")[2].partition(" [Op")[0]
        raise UserError(f"{name} is damaged ({reason}): replace it") from None


def resize(image_HxWx3: tf.Tensor, side: int) -> tf.Tensor:
    """Resize an image to a square, bilinearly with antialiasing: float32 [side, side, 3] from 0 to 255."""
    return tf.image.resize(image_HxWx3, (side, side), method="bilinear", antialias=True)


def to_uint8(image_HxWx3: np.ndarray) -> np.ndarray:
    """Round float pixels from 0 to 255 to uint8."""
    return image_HxWx3.round().clip(0, 255).astype(np.uint8)


class Extractor:
    """A frozen CNN in inference mode. Keras must use the tensorflow backend.

    Attributes:
        side: height and width in pixels of the images that the CNN takes.
        positions: number of cells of its output grid, in row-major order.
        channels: number of features of each position.
        batch_size: number of images per forward pass.

    Raises:
        UserError: the network is unknown, or its weights are missing or do not fit.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        self._name = config.name
        build = _find_network(config.name)
        self.side = INPUT_SIDES.get(config.name, 224)
        self.batch_size = config.batch_size
        self._model = _build_model(build, config, self.side)
        self._preprocess = sys.modules[build.__module__].preprocess_input
        grid_height, grid_width, self.channels = self._model.output_shape[1:]
        self.positions = grid_height * grid_width
        pixels = tf.TensorSpec((None, self.side, self.side, 3), tf.float32)
        self._compiled_forward = tf.function(self._forward, input_signature=[pixels], jit_compile=False)

    @cached_property
    def weights_hash(self) -> str:
        """The sha256 of dtype, shape and bytes of each variable, in order.

        The names of variables are left out, because Keras numbers layers per process.
        """
        digest = hashlib.sha256()
        for variable in self._model.weights:
            values = keras.ops.convert_to_numpy(variable)
            digest.update(f"{values.dtype} {values.shape}\n".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()

    @property
    def identity(self) -> dict[str, str]:
        """The ``name`` and ``weights_hash`` of the CNN, by which a trained model knows it."""
        return {"name": self._name, "weights_hash": self.weights_hash}

    def decode_and_resize(self, image: tf.Tensor) -> tf.Tensor:
        """Return the pixels of a JPEG or PNG (a scalar string tensor): float32 [side, side, 3] from 0 to 255."""
        return resize(tf.io.decode_image(image, channels=3, expand_animations=False), self.side)

    def extract(self, squares_BxSxSx3: tf.Tensor) -> np.ndarray:
        """Return the features of images from `decode_and_resize`: float16 [images, positions, channels]."""
        return self._compiled_forward(squares_BxSxSx3).numpy()

    def extract_from_bytes(self, images: Sequence[bytes]) -> np.ndarray:
        """Return the features of JPEG or PNG files as ``prepare`` computes them: float16 [images, positions, channels].

        Raises:
            UserError: as `decode_image`.
        """
        starts = range(0, len(images), self.batch_size)
        batches = [images[start : start + self.batch_size] for start in starts]
        squares = ([resize(decode_image(image, "it"), self.side) for image in batch] for batch in batches)
        return np.concatenate([self.extract(tf.stack(batch)) for batch in squares])

    def resized_image(self, image: bytes | tf.Tensor) -> np.ndarray:
        """Return a JPEG or PNG in the size that the CNN takes: uint8 [side, side, 3]."""
        return to_uint8(self.decode_and_resize(image).numpy())

    def write_weights(self, path: Path) -> None:
        """Write the network's weights to a ``.weights.h5`` file that ``data.extractor.weights`` accepts."""
        save_weights(self._model, path)

    def _forward(self, squares_BxSxSx3: tf.Tensor) -> tf.Tensor:
        grid_BxHxWxC = self._model(self._preprocess(squares_BxSxSx3), training=False)
        features_BxPxC = tf.reshape(grid_BxHxWxC, (-1, self.positions, self.channels))
        return tf.saturate_cast(features_BxPxC, tf.float16)


def _find_network(name: str) -> Callable[..., keras.Model]:
    networks = available_networks()
    if name in networks:
        return networks[name]
    by_lower_case = {other.lower(): other for other in networks}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.4)
    hint = f"did you mean {by_lower_case[matches[0]]}?" if matches else f"known: {', '.join(networks)}"
    raise UserError(f"data.extractor.name is {name}, which is not a known network: {hint}")


def _build_model(build: Callable[..., keras.Model], config: ExtractorConfig, side: int) -> keras.Model:
    keras.utils.set_random_seed(0)  # with weights=null, every process gets the same untrained network
    shape = (side, side, 3)
    if config.weights == "imagenet":
        try:
            model = build(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # keras raises bare Exceptions on failed downloads
            raise UserError(
                f"the ImageNet weights of {config.name} could not be loaded ({_first_sentence(error)}): "
                "allow the download, or set data.extractor.weights to a file"
            ) from None
    else:
        model = build(include_top=False, weights=None, input_shape=shape)
        if config.weights is not None:
            _load_weights(model, config)
    model.trainable = False
    return model


def _load_weights(model: keras.Model, config: ExtractorConfig) -> None:
    is_builtin = config.weights == "builtin"
    path = shapes_cnn.BUILTIN_WEIGHTS if is_builtin else resolve_in_repository(str(config.weights))
    if not path.is_file():
        raise UserError(f"data.extractor.weights: there is no file {path}")
    try:
        with warnings.catch_warnings():
            # If a layer is missing in the file, keras may only warn and leave the layer untrained.
            warnings.filterwarnings("error", message="Skipping nested container")
            model.load_weights(path)
    except Exception as error:  # keras and h5py raise many types on files that do not fit
        raise UserError(
            f"data.extractor.weights: {path} does not fit {config.name} without its top ({_first_sentence(error)}): "
            "give weights of this network that keras saved as .weights.h5"
        ) from None


def _first_sentence(error: Exception) -> str:
    return first_line(error).split(". ")[0]
