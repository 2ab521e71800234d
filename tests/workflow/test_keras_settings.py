"""A user's ``~/.keras/keras.json`` changes no result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import SMALL, STAGES, compose, make_repo, read_outs_in_lock, run

HOSTILE_SETTINGS = {
    "floatx": "float64",
    "epsilon": 0.1,
    "image_data_format": "channels_first",
    "backend": "torch",
    "nnx_enabled": True,
}


@pytest.mark.slow
def test_users_keras_settings_change_no_result(repo: Path, datasets: Path, tmp_path: Path) -> None:
    other = make_repo(tmp_path / "repo")
    compose(other, *SMALL, f"data.data_dir={datasets}")
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras/keras.json").write_text(json.dumps(HOSTILE_SETTINGS))
    run(other, "dvc", "repro", "sample", KERAS_HOME=str(tmp_path / "keras"))
    expected = read_outs_in_lock(repo)
    assert read_outs_in_lock(other) == {stage: expected[stage] for stage in STAGES[:4]}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_keras_before_its_backend_is_set(stage: str) -> None:
    code = f"import captioner.stages.{stage.replace('-', '_')}, sys; sys.exit('keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
