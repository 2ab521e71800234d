"""No operation on padding and no array of all logits, counted in the graphs at the sizes of the benchmarks."""

import subprocess
import sys

import pytest
from helpers.repository import ROOT, environment

sys.path.append(str(ROOT / "benchmarks"))
import result


@pytest.mark.slow
def test_operations_and_arrays_stay_near_the_minimum() -> None:
    variables = environment() | {"PYTHONPATH": "src"}
    command = [sys.executable, "benchmarks/flops.py"]
    output = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    results = result.parse_results(output)
    assert len(results) == 3
    assert [each for each in results if not each.met] == []
