"""The built-in CNN for the drawn scenes, trained by ``scripts/train_shapes_cnn.py``.

Like a module of ``keras.applications``, this one has a function that builds the network and a ``preprocess_input``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

SIDE = 96  # pixels
GRID = 6  # cells per side, of 16 pixels each
CHANNELS = 96
BUILTIN_WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "shapes_cnn.weights.h5"


@keras.saving.register_keras_serializable("captioner")
class Coordinates(layers.Layer):
    """Append each cell's x and y, from -1 to 1, as in CoordConv (https://arxiv.org/abs/1807.03247).

    [B, H, W, C] becomes [B, H, W, C + 2].
    """

    def call(self, cells_BxHxWxC: Any) -> Any:
        batch, height, width, _ = ops.shape(cells_BxHxWxC)
        y_H, x_W = ops.linspace(-1.0, 1.0, height), ops.linspace(-1.0, 1.0, width)
        y_HxW, x_HxW = ops.meshgrid(y_H, x_W, indexing="ij")
        coordinates_HxWx2 = ops.stack([x_HxW, y_HxW], axis=-1)
        coordinates_BxHxWx2 = ops.broadcast_to(coordinates_HxWx2[None], (batch, height, width, 2))
        return ops.concatenate([cells_BxHxWxC, coordinates_BxHxWx2], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], None if input_shape[-1] is None else input_shape[-1] + 2)


def preprocess_input(pixels: Any) -> Any:
    """Scale pixels from 0..255 to -1..1."""
    return pixels / 127.5 - 1.0


def shapes_cnn(
    include_top: bool = False, weights: None = None, input_shape: tuple[int, int, int] = (SIDE, SIDE, 3)
) -> keras.Model:
    """Build the untrained network.

    Pixels [B, 96, 96, 3] from -1 to 1 become non-negative features [B, 6, 6, 96]. The receptive field of a cell is
    55 pixels wide, so its features describe mostly the object at the cell.
    """
    pixels = keras.Input(input_shape)
    cells = _convolve(pixels, 24, stride=2)
    cells = _convolve(cells, 48, stride=2)
    cells = _convolve(cells, 48)
    cells = _convolve(cells, 64, stride=2)
    cells = _convolve(cells, 64)
    cells = _convolve(cells, CHANNELS, stride=2)
    cells = _convolve(Coordinates()(cells), CHANNELS, kernel=1)
    return keras.Model(pixels, cells, name="shapes_cnn")


def _convolve(cells: Any, channels: int, kernel: int = 3, stride: int = 1) -> Any:
    cells = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(cells)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(cells))
