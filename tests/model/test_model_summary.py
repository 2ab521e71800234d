"""The summary of a saved model. The tests of training and decoding cover reading a model back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_network import CHANNELS, POSITIONS, VARIANTS, VOCAB_SIZE, make_network, model_config

from captioner.model.saving import SUMMARY_FILE, ModelInputs, save_model

SAVE_PROGRAM = f"""
import sys
from pathlib import Path
from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.model.saving import ModelInputs, save_model
settings = ModelConfig.model_validate_json(sys.argv[1])
model = Captioner(settings, {VOCAB_SIZE})
model.build_for({POSITIONS}, {CHANNELS})
save_model(model, settings, ModelInputs({POSITIONS}, {CHANNELS}, {{}}, ""), Path(sys.argv[2]))
"""


def save_and_read_summary(folder: Path, **changes) -> str:
    inputs = ModelInputs(POSITIONS, CHANNELS, {}, "")
    save_model(make_network(**changes), model_config(**changes), inputs, folder)
    return (folder / SUMMARY_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_summary_has_every_layer_and_the_number_of_weights(tmp_path: Path, changes: dict):
    model, text = make_network(**changes), save_and_read_summary(tmp_path, **changes)
    rows = dict(re.findall(r"│ (\w+) \(\w+\) +│ ([^│]+?) +│", text))
    assert set(rows) == {layer.name for layer in model.layers}
    assert "?" not in text
    assert rows["project"] == f"(1, {POSITIONS}, {model_config(**changes).attention_dim})"
    counts = [int(count.replace(",", "")) for count in re.findall(r"│ +([\d,]+) │", text)]
    total = sum(weight.numpy().size for weight in model.weights)
    assert f"Total params: {total:,}" in text
    tied = model_config(**changes).tie_embeddings
    biases_without_row = VOCAB_SIZE if tied else 0
    assert sum(counts) == total - biases_without_row
    assert (f"{VOCAB_SIZE} biases" in text) == tied


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_summary_does_not_depend_on_backend_or_terminal(tmp_path: Path, backend: str):
    variables = {"KERAS_BACKEND": backend, "COLUMNS": "40", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-c", SAVE_PROGRAM, model_config().model_dump_json(), str(tmp_path / "process")]
    subprocess.run(command, env=os.environ | variables, check=True)
    assert (tmp_path / "process" / SUMMARY_FILE).read_text(encoding="utf-8") == save_and_read_summary(tmp_path / "test")
