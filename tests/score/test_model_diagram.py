"""The diagram of the network: it shows the layers of the network, and equal networks give equal bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.score.report.model_diagram import describe_model, diagram_boxes, draw_model

BASELINE: dict[str, Any] = {
    "attention": "luong",
    "attention_dim": 1536,
    "embedding_dim": 1536,
    "units": 1536,
    "tie_embeddings": True,
    "initial_state": "image",
    "dropout": 0.0,
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"attention": "bahdanau", "dropout": 0.5},
    {"initial_state": "zeros", "tie_embeddings": False},
    {"attention_dim": 10, "embedding_dim": 12, "units": 14},
    {"attention": "bahdanau", "attention_dim": 10, "embedding_dim": 12, "units": 14, "tie_embeddings": False},
    {"units": 14, "initial_state": "zeros"},
    {"embedding_dim": 12, "tie_embeddings": False},
]


def model_config(**changes: Any) -> dict[str, Any]:
    """Return the content of a model's ``config.json``."""
    return {"positions": 9, "channels": 6, "vocab_size": 2300, "model": BASELINE | changes}


@pytest.mark.parametrize("changes", CHANGES)
def test_the_boxes_are_the_layers_of_the_network(changes: dict[str, Any]) -> None:
    network = Captioner(ModelConfig(**BASELINE | changes), 2300)
    without_box = (keras.layers.Identity, keras.layers.Dropout)
    expected = {layer.name for layer in network.layers if not isinstance(layer, without_box)}
    boxes = diagram_boxes(model_config(**changes))
    assert set(boxes) == expected | {"cnn", "first_state", "output"}
    dense = {layer.name: layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)}
    assert {name for name, box in boxes.items() if "Dense" in box.kind} == set(dense)
    for name, units in dense.items():
        assert re.search(rf"(^|× ){units:,}( words)?$", boxes[name].width)
    assert (boxes["first_state"].kind == "zeros") == (network.first_state is None)
    assert ("tied" in boxes["output"].kind) == (network.output_layer is None)
    additive = isinstance(network.attention, keras.layers.AdditiveAttention)
    assert boxes["attention"].kind == ("Bahdanau" if additive else "Luong")


@pytest.mark.parametrize("changes", CHANGES)
def test_the_description_names_every_layer(changes: dict[str, Any]) -> None:
    description = describe_model(model_config(**changes))
    for box in diagram_boxes(model_config(**changes)).values():
        assert f"{box.name} ({box.kind}, {box.width})" in description
    assert ("embedding’s" in description) == model_config(**changes)["model"]["tie_embeddings"]


@pytest.mark.parametrize("changes", CHANGES)
def test_nothing_is_cut_off_and_the_bytes_are_equal(changes: dict[str, Any], tmp_path: Path) -> None:
    draw_model(model_config(**changes), tmp_path / "first.png")
    draw_model(model_config(**changes), tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    pixels = np.asarray(Image.open(tmp_path / "first.png").convert("L"))
    assert pixels.min() < 60
    for edge in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (edge == 255).all()
