"""The run hash changes with everything that decides the weights, and with nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.repository import ROOT

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.compose import compose
from captioner.config.params import Params, check_params
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.tracking.run_hash import hash_identity, preparation_hash, run_identity, tree_differences

TABLE = CaptionsTable([1, 2], ["a.jpg", "b.jpg"], [["a red square"], ["a blue star", "one star"]])


def make_workspace(folder: Path) -> Workspace:
    """Copy the project's code, and write captions as prepare writes them."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    workspace = Workspace(folder)
    for split in ("train", "val"):
        write_captions_table(workspace.captions, split, TABLE)
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "one")


def read_changed_params(workspace: Workspace, **changes: Any) -> Params:
    """Return the workspace's parameters with changes such as ``model__units=9``."""
    tree = yaml.safe_load(workspace.params.read_text())
    for key, value in changes.items():
        *sections, last = key.split("__")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return check_params(tree)


def run_hash(workspace: Workspace, **changes: Any) -> str:
    return hash_identity(run_identity(read_changed_params(workspace, **changes), workspace))


def test_hash_depends_neither_on_the_folder_nor_on_file_dates(workspace: Workspace, tmp_path: Path) -> None:
    other = make_workspace(tmp_path / "a folder with another name")
    for file in other.root.rglob("*"):
        os.utime(file, (0, 0))
    assert run_hash(workspace) == run_hash(other)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            ("seed", 2),
            ("data__seed", 2),
            ("data__limit", 5),
            ("data__name", "coco"),
            ("data__extractor__batch_size", 3),
        ],
        *[("text__vocab_size", 77), ("text__max_length", 9), ("model__attention", "bahdanau")],
        *[("model__attention_dim", 7), ("model__embedding_dim", 7), ("model__units", 7), ("model__dropout", 0.5)],
        *[("model__tie_embeddings", False), ("model__initial_state", "zeros"), ("train__backend", "jax")],
        *[("train__deterministic", False), ("train__epochs", 2), ("train__batch_size", 3)],
        *[("train__learning_rate", 0.1), ("train__schedule", "constant"), ("train__warmup_epochs", 0.5)],
        *[("train__weight_decay", 0.5), ("train__clip_norm", None), ("train__label_smoothing", 0.1)],
        *[("train__word_dropout", 0.1), ("train__patience", None), ("train__monitor", "loss")],
    ],
)
def test_parameter_that_decides_the_weights_changes_the_hash(workspace: Workspace, key: str, value: Any) -> None:
    assert run_hash(workspace, **{key: value}) != run_hash(workspace)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("decode__strategy", "greedy"), ("decode__beam_size", 9), ("decode__split", "test"), ("decode__top_k", 2)],
        *[("decode__temperature", 0.5), ("decode__length_penalty", 0.1), ("decode__min_length", 3)],
        *[("decode__batch_size", 2), ("score__figure_pictures", 2), ("data__data_dir", "/another/folder")],
        ("train__profile", True),
    ],
)
def test_parameter_that_does_not_decide_the_weights_leaves_the_hash(workspace: Workspace, key: str, value: Any) -> None:
    assert run_hash(workspace, **{key: value}) == run_hash(workspace)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("data/datasets/shapes/render.py", True),
        ("data/preparation.py", True),
        ("assets/shapes_cnn.weights.h5", True),
        ("text/tokenizer.py", True),
        ("model/network.py", True),
        ("train/trainer.py", True),
        ("train/config.py", True),
        ("common/backend.py", True),
        ("stages/train.py", True),
        ("decode/sampling.py", True),  # the best epoch can be chosen by the scores of greedy captions
        ("score/metrics.py", True),
        ("decode/predictor.py", False),
        ("score/comparability.py", False),
        ("score/evaluation.py", False),
        ("stages/evaluate.py", False),
        ("config/params.py", False),
        ("tracking/run_hash.py", False),
        ("tracking/runs.py", False),
        ("cli.py", False),
        ("train/__pycache__/config.cpython-311.pyc", False),
        ("model/__pycache__/network.cpython-311.pyc", False),
    ],
)
def test_code_that_decides_the_weights_changes_the_hash(workspace: Workspace, file: str, counts: bool) -> None:
    before = run_hash(workspace)
    path = workspace.root / "src/captioner" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as stream:
        stream.write(b"\n")
    assert (run_hash(workspace) != before) == counts


@pytest.mark.parametrize(
    "table",
    [
        CaptionsTable([1, 3], TABLE.file_names, TABLE.captions),
        CaptionsTable(TABLE.image_ids, ["a.jpg", "c.jpg"], TABLE.captions),
        CaptionsTable(TABLE.image_ids, TABLE.file_names, [["a red square."], ["a blue star", "one star"]]),
        CaptionsTable(TABLE.image_ids, TABLE.file_names, [["a red square", "a blue star"], ["one star"]]),
    ],
)
def test_captions_change_the_hash(workspace: Workspace, table: CaptionsTable) -> None:
    before = run_hash(workspace)
    write_captions_table(workspace.captions, "val", table)
    assert run_hash(workspace) != before


def test_users_images_and_weights_change_the_hash_and_their_paths_do_not(tmp_path: Path) -> None:
    hashes = {}
    for name, images, weights in (("a", "1", "w"), ("b", "1", "w"), ("c", "2", "w"), ("d", "1", "x")):
        workspace = make_workspace(tmp_path / name)
        dataset = tmp_path / name / "dataset"
        dataset.mkdir()
        (dataset / "cnn.weights.h5").write_text(weights)
        overrides = ["data=karpathy", f"data.path={dataset}", f"data.extractor.weights={dataset / 'cnn.weights.h5'}"]
        workspace.params.write_text(compose(overrides, ROOT))
        dep = {"path": str(dataset), "hash": "md5", "md5": f"{images}.dir"}
        workspace.dvc_lock.write_text(yaml.safe_dump({"stages": {"prepare": {"deps": [dep]}}}))
        hashes[name] = run_hash(workspace)
    assert hashes["a"] == hashes["b"]
    assert len(set(hashes.values())) == 3


def test_folder_that_is_not_in_dvc_lock_is_an_error(workspace: Workspace, tmp_path: Path) -> None:
    workspace.params.write_text(compose(["data=karpathy", f"data.path={tmp_path}"], ROOT))
    with pytest.raises(UserError, match="dvc repro"):
        run_hash(workspace)


def test_differences_name_code_and_parameters(workspace: Workspace) -> None:
    first = run_identity(read_changed_params(workspace), workspace)
    (workspace.root / "src/captioner/train/trainer.py").write_text("")
    second = run_identity(read_changed_params(workspace, model__units=64), workspace)
    assert [line.partition(":")[0] for line in tree_differences(first, second)] == [
        "code src/captioner/train/trainer.py",
        "params model.units",
    ]
    assert "params model.units: recorded 128, rebuilt 64" in tree_differences(first, second)
    assert tree_differences(first, json.loads(json.dumps(first))) == []


def test_preparation_hash_changes_with_what_decides_the_features(workspace: Workspace) -> None:
    before = preparation_hash(read_changed_params(workspace), workspace)
    assert preparation_hash(read_changed_params(workspace, model__units=9), workspace) == before
    assert preparation_hash(read_changed_params(workspace, data__limit=9), workspace) != before
    assert preparation_hash(read_changed_params(workspace, seed=9), workspace) == before
    assert preparation_hash(read_changed_params(workspace, data__seed=9), workspace) != before
    (workspace.root / "src/captioner/data/extractors.py").write_text("")
    assert preparation_hash(read_changed_params(workspace), workspace) != before
