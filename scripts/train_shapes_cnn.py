"""Train the CNN of the built-in dataset, and print the accuracies of linear classifiers on its features.

    PYTHONPATH=src python scripts/train_shapes_cnn.py

Takes about five minutes on two cores and writes src/captioner/assets/shapes_cnn.weights.h5 (under 1 MB). Each cell of
the grid learns the shape, colour and size of the object that covers it, and its own column and row if it contains the
object's centre. The scenes have negative seeds, which no dataset can have.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from captioner.common.backend import use_backend

use_backend("tensorflow")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from captioner.data import shapes_cnn  # noqa: E402
from captioner.data.datasets.shapes.render import render_scene  # noqa: E402
from captioner.data.datasets.shapes.scene import COLOURS, RADII, SHAPES, SIDE, Scene, sample_scene  # noqa: E402

TRAIN_SEED, TEST_SEED = -1, -2
GRID, CELL = shapes_cnn.GRID, SIDE // shapes_cnn.GRID
# A cell belongs to an object that covers at least this share of it.
MIN_COVERED_SHARE = 0.35
# A cell is empty if no object covers this share of it. Cells between the two bounds are not trained on.
MAX_EMPTY_SHARE = 0.08
HEADS = {  # number of classes; class 0 is for cells without an object, or without an object's centre
    "shape": 1 + len(SHAPES),
    "colour": 1 + len(COLOURS),
    "size": 1 + len(RADII),
    "column": 1 + GRID,
    "row": 1 + GRID,
}
Labels = dict[str, np.ndarray]


def label_cells(scene: Scene) -> tuple[Labels, np.ndarray]:
    """Return the class of each cell for each head, int [6, 6], and the weights of the cells, float32 [6, 6]."""
    labels = {head: np.zeros((GRID, GRID), np.int32) for head in HEADS}
    centres = [(int(obj.y) // CELL, int(obj.x) // CELL) for obj in scene.objects]
    shares_OxGxG = _covered_shares(scene)
    for number, centre in enumerate(centres):
        shares_OxGxG[(number, *centre)] = 1 + number
    share_GxG, owner_GxG = shares_OxGxG.max(0), shares_OxGxG.argmax(0)
    for number, (obj, (row, column)) in enumerate(zip(scene.objects, centres, strict=True)):
        covered_GxG = (owner_GxG == number) & (share_GxG >= MIN_COVERED_SHARE)
        labels["shape"][covered_GxG] = 1 + SHAPES.index(obj.shape)
        labels["colour"][covered_GxG] = 1 + list(COLOURS).index(obj.colour)
        labels["size"][covered_GxG] = 1 + list(RADII).index(obj.size)
        labels["column"][row, column] = 1 + column
        labels["row"][row, column] = 1 + row
    unclear_GxG = (share_GxG < MIN_COVERED_SHARE) & (share_GxG >= MAX_EMPTY_SHARE)
    weight_GxG = np.where(unclear_GxG, 0.0, np.where(share_GxG >= MIN_COVERED_SHARE, 4.0, 1.0))
    return labels, weight_GxG.astype(np.float32)


def _covered_shares(scene: Scene) -> np.ndarray:
    """Return the share of each cell that each object covers, approximated by a circle: float64 [objects, 6, 6]."""
    y_SxS, x_SxS = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    circles = [np.hypot(x_SxS - obj.x, y_SxS - obj.y) < 0.9 * obj.radius for obj in scene.objects]
    return np.stack([circle_SxS.reshape(GRID, CELL, GRID, CELL).mean((1, 3)) for circle_SxS in circles])


def make_examples(seed: int, count: int) -> tuple[np.ndarray, Labels, np.ndarray]:
    """Return pixels uint8 [N, 96, 96, 3], labels int [N, 6, 6] by head, and weights float32 [N, 6, 6]."""
    scenes = [sample_scene(seed, index) for index in range(count)]
    labels, weights = zip(*(label_cells(scene) for scene in scenes), strict=True)
    pixels = np.stack([render_scene(scene) for scene in scenes])
    return pixels, {head: np.stack([row[head] for row in labels]) for head in HEADS}, np.stack(weights)


def add_heads(network: keras.Model) -> keras.Model:
    """Return the network with a linear classifier per head on each cell's features. Its input is pixels 0 to 255."""
    pixels = keras.Input((SIDE, SIDE, 3))
    cells = network(shapes_cnn.preprocess_input(pixels))
    return keras.Model(pixels, {head: keras.layers.Dense(classes, name=head)(cells) for head, classes in HEADS.items()})


def compute_accuracies(model: keras.Model, count: int = 1000) -> dict[str, float]:
    """Return each head's share of correct cells on unseen scenes: at objects, at their centres, and elsewhere."""
    pixels, labels, weights = make_examples(TEST_SEED, count)
    classes = {head: logits.argmax(-1) for head, logits in model.predict(pixels, batch_size=200, verbose=0).items()}
    at_centre, at_object, empty = labels["row"] > 0, labels["shape"] > 0, (labels["shape"] == 0) & (weights > 0)
    accuracies = {}
    for head in HEADS:
        correct = classes[head] == labels[head]
        accuracies |= {f"{head} at centres": correct[at_centre].mean(), f"{head} elsewhere": correct[empty].mean()}
        accuracies[f"{head} at objects"] = correct[at_object].mean()
    return accuracies


def main() -> None:
    """Draw the scenes, train, evaluate, and save the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20000, help="number of training scenes")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--out", type=Path, default=shapes_cnn.BUILTIN_WEIGHTS)
    options = parser.parse_args()
    keras.utils.set_random_seed(1)
    pixels, labels, weights = make_examples(TRAIN_SEED, options.scenes)
    network = shapes_cnn.shapes_cnn()
    model = add_heads(network)
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
    for name, accuracy in compute_accuracies(model).items():
        print(f"{name:20} {accuracy:.4f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    network.save_weights(options.out)
    print(f"{network.count_params()} parameters, {options.out.stat().st_size / 1e6:.2f} MB: {options.out}")


if __name__ == "__main__":
    main()
