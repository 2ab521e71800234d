"""The benchmark for a GPU runs without one, at a small size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT, environment

SMALL = ["--pictures", "200", "--sampled", "64", "--vocab-size", "500", "--width", "64", "--batch", "64"]


@pytest.mark.slow
def test_an_epoch_and_captions_on_jax_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('as if it were not installed')")
    command = [sys.executable, "benchmarks/gpu.py", *SMALL]
    variables = environment() | {"PYTHONPATH": f"src{os.pathsep}{tmp_path}", "JAX_PLATFORMS": "cpu"}
    printed = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [row["unit"] for row in rows] == ["s", "s", "s", "s", "flop/s", "flop/s"]
    assert all(row["ours"] > 0 for row in rows)
