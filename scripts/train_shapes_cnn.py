"""Trains the extractor of the built-in dataset, and says how well its features tell things apart.

    PYTHONPATH=src python scripts/train_shapes_cnn.py

Takes some five minutes on two cores and writes src/captioner/assets/shapes_cnn.weights.h5 (under 1 MB). Each cell of
the grid learns what lies there: shape, colour, size, and where the cell is if it holds a thing's centre. The scenes
have negative seeds, which no dataset can have.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from captioner.backend import use_backend

use_backend("tensorflow")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from captioner.data import shapes_cnn  # noqa: E402
from captioner.data.painting import render  # noqa: E402
from captioner.data.scenes import COLOURS, RADII, SHAPES, SIDE, Scene, draw_scene  # noqa: E402

TRAIN_SEED, TEST_SEED = -1, -2
GRID, CELL = shapes_cnn.GRID, SIDE // shapes_cnn.GRID
COVERED, TOUCHED = 0.35, 0.08  # share of a cell: from here on it is the thing's; below that it is nobody's
HEADS = {  # classes; 0 is for cells without a thing, or without a thing's centre
    "shape": 1 + len(SHAPES),
    "colour": 1 + len(COLOURS),
    "size": 1 + len(RADII),
    "column": 1 + GRID,
    "row": 1 + GRID,
}
Labels = dict[str, np.ndarray]


def labels_of(scene: Scene) -> tuple[Labels, np.ndarray]:
    """The cells' classes for each head, int [6, 6]; and the cells' weights, 0 where it is unclear what is there."""
    labels = {head: np.zeros((GRID, GRID), np.int32) for head in HEADS}
    down_SxS, right_SxS = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    shares_TxGxG = np.stack(
        [
            (np.hypot(right_SxS - thing.x, down_SxS - thing.y) < 0.9 * thing.radius)
            .reshape(GRID, CELL, GRID, CELL)
            .mean((1, 3))
            for thing in scene.things
        ]
    )
    centres = [(int(thing.y) // CELL, int(thing.x) // CELL) for thing in scene.things]
    for number, centre in enumerate(centres):
        shares_TxGxG[(number, *centre)] = 1 + number
    share_GxG, owner_GxG = shares_TxGxG.max(0), shares_TxGxG.argmax(0)
    for number, (thing, (row, column)) in enumerate(zip(scene.things, centres, strict=True)):
        own_GxG = (owner_GxG == number) & (share_GxG >= COVERED)
        labels["shape"][own_GxG] = 1 + SHAPES.index(thing.shape)
        labels["colour"][own_GxG] = 1 + list(COLOURS).index(thing.colour)
        labels["size"][own_GxG] = 1 + list(RADII).index(thing.size)
        labels["column"][row, column] = 1 + column
        labels["row"][row, column] = 1 + row
    unclear_GxG = (share_GxG < COVERED) & (share_GxG >= TOUCHED)
    weight_GxG = np.where(unclear_GxG, 0.0, np.where(share_GxG >= COVERED, 4.0, 1.0))
    return labels, weight_GxG.astype(np.float32)


def draw(seed: int, count: int) -> tuple[np.ndarray, Labels, np.ndarray]:
    """Pixels uint8 [N, 96, 96, 3], labels int [N, 6, 6] a head, and weights float32 [N, 6, 6]."""
    scenes = [draw_scene(seed, index) for index in range(count)]
    labels, weights = zip(*(labels_of(scene) for scene in scenes), strict=True)
    pixels = np.stack([render(scene) for scene in scenes])
    return pixels, {head: np.stack([row[head] for row in labels]) for head in HEADS}, np.stack(weights)


def with_heads(network: keras.Model) -> keras.Model:
    """The network with a linear classifier on each cell's features for every head. Takes pixels from 0 to 255."""
    pixels = keras.Input((SIDE, SIDE, 3))
    cells = network(shapes_cnn.preprocess_input(pixels))
    return keras.Model(pixels, {head: keras.layers.Dense(classes, name=head)(cells) for head, classes in HEADS.items()})


def accuracies(model: keras.Model, count: int = 1000) -> dict[str, float]:
    """The share of cells that each head gets right on scenes that were not trained on: at things, and elsewhere."""
    pixels, labels, weights = draw(TEST_SEED, count)
    guesses = {head: logits.argmax(-1) for head, logits in model.predict(pixels, batch_size=200, verbose=0).items()}
    at_centre, at_thing, empty = labels["row"] > 0, labels["shape"] > 0, (labels["shape"] == 0) & (weights > 0)
    result = {}
    for head in HEADS:
        right = guesses[head] == labels[head]
        result |= {f"{head} at centres": right[at_centre].mean(), f"{head} elsewhere": right[empty].mean()}
        result[f"{head} at things"] = right[at_thing].mean()
    return result


def main() -> None:
    """Draws, trains, tests and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20000, help="scenes to train on")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--out", type=Path, default=shapes_cnn.BUILTIN_WEIGHTS)
    options = parser.parse_args()
    keras.utils.set_random_seed(1)
    pixels, labels, weights = draw(TRAIN_SEED, options.scenes)
    network = shapes_cnn.shapes_cnn()
    model = with_heads(network)
    steps = options.epochs * (options.scenes // options.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=4e-3, warmup_steps=steps // 20)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01), dict.fromkeys(HEADS, loss), jit_compile=False)
    model.fit(
        pixels,
        labels,
        sample_weight=dict.fromkeys(HEADS, weights),
        batch_size=options.batch_size,
        epochs=options.epochs,
        verbose=2,
    )
    for what, share in accuracies(model).items():
        print(f"{what:20} {share:.4f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    network.save_weights(options.out)
    print(f"{network.count_params()} parameters, {options.out.stat().st_size / 1e6:.2f} MB: {options.out}")


if __name__ == "__main__":
    main()
