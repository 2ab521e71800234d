"""The run hash: what decides the weights changes it, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT

from captioner.compose import compose
from captioner.config import Params, UserError, check_params
from captioner.data.tables import CaptionTable, write_captions
from captioner.track.identity import differences, hash_of, identify, prepare_hash

TABLE = CaptionTable([1, 2], ["a.jpg", "b.jpg"], [["a red square"], ["a blue star", "one star"]])


def make_workspace(folder: Path) -> Path:
    """The project's code, with captions as prepare leaves them."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for split in ("train", "val"):
        write_captions(folder / "data/prepared/captions", split, TABLE)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "one")


def params_of(workspace: Path, **changes: Any) -> Params:
    tree = yaml.safe_load((workspace / "params.yaml").read_text())
    for key, value in changes.items():
        *sections, last = key.split("__")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return check_params(tree)


def run_hash(workspace: Path, **changes: Any) -> str:
    return hash_of(identify(params_of(workspace, **changes), workspace))


def test_two_folders_have_the_same_hash_whatever_their_dates(workspace: Path, tmp_path: Path) -> None:
    other = make_workspace(tmp_path / "a folder of another name")
    for file in other.rglob("*"):
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
        *[("train__word_dropout", 0.1), ("train__patience", None)],
    ],
)
def test_a_parameter_that_decides_the_weights_changes_it(workspace: Path, key: str, value: Any) -> None:
    assert run_hash(workspace, **{key: value}) != run_hash(workspace)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("decode__strategy", "greedy"), ("decode__beam_size", 9), ("decode__split", "test"), ("decode__top_k", 2)],
        *[("decode__temperature", 0.5), ("decode__length_penalty", 0.1), ("decode__min_length", 3)],
        *[("decode__batch_size", 2), ("score__figure_pictures", 2), ("data__data_dir", "/somewhere/else")],
    ],
)
def test_a_parameter_that_does_not_leaves_it(workspace: Path, key: str, value: Any) -> None:
    assert run_hash(workspace, **{key: value}) == run_hash(workspace)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("data/painting.py", True),
        ("data/prepare.py", True),
        ("assets/shapes_cnn.weights.h5", True),
        ("text/words.py", True),
        ("model/network.py", True),
        ("model/fit.py", True),
        ("config.py", True),
        ("backend.py", True),
        ("stages/train.py", True),
        ("decode/search.py", False),
        ("score/metrics.py", False),
        ("stages/evaluate.py", False),
        ("track/identity.py", False),
        ("track/runs.py", False),
        ("cli.py", False),
        ("photos.py", False),
        ("__pycache__/config.cpython-311.pyc", False),
        ("model/__pycache__/fit.cpython-311.pyc", False),
    ],
)
def test_code_counts_where_it_decides_the_weights(workspace: Path, file: str, counts: bool) -> None:
    before = run_hash(workspace)
    path = workspace / "src/captioner" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as stream:
        stream.write(b"\n")
    assert (run_hash(workspace) != before) == counts


@pytest.mark.parametrize(
    "table",
    [
        CaptionTable([1, 3], TABLE.file_names, TABLE.captions),
        CaptionTable(TABLE.image_ids, ["a.jpg", "c.jpg"], TABLE.captions),
        CaptionTable(TABLE.image_ids, TABLE.file_names, [["a red square."], ["a blue star", "one star"]]),
        CaptionTable(TABLE.image_ids, TABLE.file_names, [["a red square", "a blue star"], ["one star"]]),
    ],
)
def test_captions_count(workspace: Path, table: CaptionTable) -> None:
    before = run_hash(workspace)
    write_captions(workspace / "data/prepared/captions", "val", table)
    assert run_hash(workspace) != before


def test_a_users_pictures_and_weights_count_and_their_places_do_not(tmp_path: Path) -> None:
    hashes = {}
    for name, pictures, weights in (("a", "1", "w"), ("b", "1", "w"), ("c", "2", "w"), ("d", "1", "x")):
        workspace = make_workspace(tmp_path / name)
        mine = tmp_path / name / "mine"
        mine.mkdir()
        (mine / "cnn.weights.h5").write_text(weights)
        overrides = ["data=karpathy", f"data.path={mine}", f"data.extractor.weights={mine / 'cnn.weights.h5'}"]
        (workspace / "params.yaml").write_text(compose(overrides, ROOT))
        dep = {"path": str(mine), "hash": "md5", "md5": f"{pictures}.dir"}
        (workspace / "dvc.lock").write_text(yaml.safe_dump({"stages": {"prepare": {"deps": [dep]}}}))
        hashes[name] = run_hash(workspace)
    assert hashes["a"] == hashes["b"]
    assert len(set(hashes.values())) == 3


def test_a_folder_that_dvc_has_not_seen_says_so(workspace: Path, tmp_path: Path) -> None:
    (workspace / "params.yaml").write_text(compose(["data=karpathy", f"data.path={tmp_path}"], ROOT))
    with pytest.raises(UserError, match="dvc repro"):
        run_hash(workspace)


def test_differences_are_named(workspace: Path) -> None:
    one = identify(params_of(workspace), workspace)
    (workspace / "src/captioner/model/fit.py").write_text("")
    two = identify(params_of(workspace, model__units=64), workspace)
    assert [line.partition(":")[0] for line in differences(one, two)] == [
        "code src/captioner/model/fit.py",
        "params model.units",
    ]
    assert "params model.units: recorded 128, rebuilt 64" in differences(one, two)
    assert differences(one, json.loads(json.dumps(one))) == []


def test_what_prepare_goes_on_from_depends_on_what_decides_the_features(workspace: Path) -> None:
    before = prepare_hash(params_of(workspace), workspace)
    assert prepare_hash(params_of(workspace, model__units=9), workspace) == before
    assert prepare_hash(params_of(workspace, data__limit=9), workspace) != before
    assert prepare_hash(params_of(workspace, seed=9), workspace) == before
    assert prepare_hash(params_of(workspace, data__seed=9), workspace) != before
    (workspace / "src/captioner/data/extractors.py").write_text("")
    assert prepare_hash(params_of(workspace), workspace) != before
