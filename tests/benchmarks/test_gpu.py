"""The GPU benchmark runs on a CPU at a small size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import ROOT, environment

SMALL = ["--images", "200", "--captions", "64", "--vocab-size", "500", "--width", "64", "--batch-size", "64"]


@pytest.mark.slow
def test_trains_and_captions_on_jax_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('as if it were not installed')")
    command = [sys.executable, "benchmarks/gpu.py", *SMALL]
    variables = environment() | {"PYTHONPATH": f"src{os.pathsep}{tmp_path}", "JAX_PLATFORMS": "cpu"}
    output = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    results = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [result["unit"] for result in results] == ["s", "s", "s", "s", "flop/s", "flop/s"]
    assert all(result["captioner"] > 0 for result in results)
