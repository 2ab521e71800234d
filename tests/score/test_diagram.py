"""The diagram of the network: what it shows is what the network is, and it is drawn alike each time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from captioner import config
from captioner.model.network import Captioner
from captioner.score.diagram import draw_model, layers, model_in_words

PLAIN: dict[str, Any] = {
    "attention": "luong",
    "attention_dim": 1536,
    "embedding_dim": 1536,
    "units": 1536,
    "tie_embeddings": True,
    "initial_state": "image",
    "dropout": 0.0,
}
SHAPES: list[dict[str, Any]] = [
    {},
    {"attention": "bahdanau", "dropout": 0.5},
    {"initial_state": "zeros", "tie_embeddings": False},
    {"attention_dim": 10, "embedding_dim": 12, "units": 14},
    {"attention": "bahdanau", "attention_dim": 10, "embedding_dim": 12, "units": 14, "tie_embeddings": False},
    {"units": 14, "initial_state": "zeros"},
    {"embedding_dim": 12, "tie_embeddings": False},
]


def shape(**changes: Any) -> dict[str, Any]:
    return {"positions": 9, "channels": 6, "vocab_size": 2300, "model": PLAIN | changes}


@pytest.mark.parametrize("changes", SHAPES)
def test_the_boxes_are_the_layers_of_the_network(changes: dict[str, Any]) -> None:
    network = Captioner(config.Model(**PLAIN | changes), 2300)
    keeps = (keras.layers.Identity, keras.layers.Dropout)
    expected = {layer.name for layer in network.layers if not isinstance(layer, keeps)}
    shown = layers(shape(**changes))
    assert set(shown) == expected | {"cnn", "first_state", "output"}
    dense = {layer.name: layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)}
    assert {name for name, box in shown.items() if "Dense" in box.kind} == set(dense)
    for name, units in dense.items():
        assert re.search(rf"(^|× ){units:,}( words)?$", shown[name].width)
    assert (shown["first_state"].kind == "zeros") == (network.first_state is None)
    assert ("tied" in shown["output"].kind) == (network.output_layer is None)
    additive = isinstance(network.attention, keras.layers.AdditiveAttention)
    assert shown["attention"].kind == ("Bahdanau" if additive else "Luong")


@pytest.mark.parametrize("changes", SHAPES)
def test_the_words_name_every_layer(changes: dict[str, Any]) -> None:
    words = model_in_words(shape(**changes))
    for box in layers(shape(**changes)).values():
        assert f"{box.name} ({box.kind}, {box.width})" in words
    assert ("embedding’s" in words) == shape(**changes)["model"]["tie_embeddings"]


@pytest.mark.parametrize("changes", SHAPES)
def test_nothing_is_cut_off_and_the_bytes_are_the_same(changes: dict[str, Any], tmp_path: Path) -> None:
    draw_model(shape(**changes), tmp_path / "one.png")
    draw_model(shape(**changes), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    pixels = np.asarray(Image.open(tmp_path / "one.png").convert("L"))
    assert pixels.min() < 60
    for edge in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (edge == 255).all()
