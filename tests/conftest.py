"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.repository import SMALL, changed, compose, make_repo, make_repo_with_run, run
from hypothesis import HealthCheck, settings

# Before any test imports keras. The data package needs tensorflow anyway, and it traces faster than XLA compiles.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples every time. No deadline, because machines differ in speed.
settings.register_profile("captioner", deadline=None, derandomize=True)
# For `make fuzz`: other examples every time.
settings.register_profile("fuzz", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck))
settings.load_profile("captioner")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of photos and downloaded weights; skip the test if there is none."""
    folder = os.environ.get("CAPTIONER_TEST_DATA")
    if not folder:
        pytest.skip("CAPTIONER_TEST_DATA is not set: it names the folder of photos and weights")
    return Path(folder)


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which all tests share the drawn scenes."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository with two runs, whose objective is the validation loss."""
    folder = make_repo(tmp_path_factory.mktemp("two"))
    compose(folder, *SMALL, f"data.data_dir={datasets}", "score.objective=val_loss")
    run(folder, "dvc", "repro")
    with changed(folder / "params.yaml", "units: 32", "units: 48"):
        run(folder, "dvc", "repro")
    run(folder, "dvc", "repro")
    return folder


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository in which the pipeline has run at a small size."""
    return make_repo_with_run(tmp_path_factory.mktemp("repo"), datasets)
