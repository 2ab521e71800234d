"""No operation on padding, no array of all logits: counted in the graphs, at the sizes of the benchmarks."""

import subprocess
import sys

import pytest
from repository import ROOT, environment

sys.path.append(str(ROOT / "benchmarks"))
import rows


@pytest.mark.slow
def test_operations_and_arrays_are_no_more_than_real_words_need() -> None:
    variables = environment() | {"PYTHONPATH": "src"}
    command = [sys.executable, "benchmarks/counting.py"]
    printed = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = rows.read(printed)
    assert len(found) == 3
    assert [row for row in found if not row.met] == []
