"""What the trained model's folder says to people; that it is read back is tested with training and decoding."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_network import CHANNELS, POSITIONS, SHAPES, VOCABULARY, network, settings

from captioner.model.store import SUMMARY, write_model

WRITE = """
import sys
from pathlib import Path
from captioner.config import Model
from captioner.model.network import Captioner
from captioner.model.store import write_model
settings = Model.model_validate_json(sys.argv[1])
model = Captioner(settings, 23)
model.build_for(9, 6)
write_model(model, settings, 9, 6, Path(sys.argv[2]))
"""


def summary(folder: Path, **changes) -> str:
    write_model(network(**changes), settings(**changes), POSITIONS, CHANNELS, folder)
    return (folder / SUMMARY).read_text(encoding="utf-8")


@pytest.mark.parametrize("changes", SHAPES)
def test_every_layer_has_its_shape_and_the_total_is_that_of_the_weights(tmp_path: Path, changes: dict):
    model, text = network(**changes), summary(tmp_path, **changes)
    rows = dict(re.findall(r"│ (\w+) \(\w+\) +│ ([^│]+?) +│", text))
    assert set(rows) == {layer.name for layer in model.layers}
    assert "?" not in text
    assert rows["project"] == f"(1, {POSITIONS}, {settings(**changes).attention_dim})"
    counts = [int(count.replace(",", "")) for count in re.findall(r"│ +([\d,]+) │", text)]
    total = sum(weight.numpy().size for weight in model.weights)
    assert f"Total params: {total:,}" in text
    tied = settings(**changes).tie_embeddings
    assert sum(counts) == total - tied * VOCABULARY
    assert (f"{VOCABULARY} biases" in text) == tied


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_summary_is_the_same_on_both_backends_and_in_any_terminal(tmp_path: Path, backend: str):
    here = {"KERAS_BACKEND": backend, "COLUMNS": "40", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-c", WRITE, settings().model_dump_json(), str(tmp_path / "there")]
    subprocess.run(command, env=os.environ | here, check=True)
    assert (tmp_path / "there" / SUMMARY).read_text(encoding="utf-8") == summary(tmp_path / "here")
