"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before any test imports keras. Tensorflow is there anyway for the data room and traces faster than XLA compiles.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples every time, and no deadline: machines differ.
settings.register_profile("captioner", deadline=None, derandomize=True)
settings.load_profile("captioner")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real photos and weights, where they are at hand."""
    folder = os.environ.get("CAPTIONER_TEST_DATA")
    if not folder:
        pytest.skip("CAPTIONER_TEST_DATA is not set: it names the folder of real photos and weights")
    return Path(folder)
