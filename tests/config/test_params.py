"""The schema of params.yaml, its composition from conf/, and the errors for invalid values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.repository import ROOT
from hypothesis import given
from hypothesis import strategies as st

from captioner.common.errors import UserError
from captioner.config.compose import compose
from captioner.config.params import check_params, read_params

TREE = yaml.safe_load((ROOT / "params.yaml").read_text())


def change_tree(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the committed parameters with some keys ("model.units") set."""
    tree = copy.deepcopy(TREE)
    for key, value in changes.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return tree


def error_message(changes: dict[str, Any]) -> str:
    """Return the error, of one line, for the committed parameters with some keys set."""
    with pytest.raises(UserError) as caught:
        check_params(change_tree(changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_params_yaml_is_the_composition_of_conf() -> None:
    assert compose([], ROOT) == (ROOT / "params.yaml").read_text()


def list_presets(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


@pytest.mark.parametrize("preset", list_presets("experiment"))
def test_every_experiment_composes(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTIONER_TEST_DATA", str(tmp_path))
    params = check_params(yaml.safe_load(compose([f"experiment={preset}"], ROOT)))
    assert params.data.name != "shapes"


def test_experiment_on_test_data_names_the_missing_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPTIONER_TEST_DATA", raising=False)
    with pytest.raises(UserError, match="CAPTIONER_TEST_DATA") as caught:
        compose(["experiment=flickr8k-mini"], ROOT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preset", list_presets("debug"))
def test_every_debug_preset_composes(preset: str) -> None:
    params = check_params(yaml.safe_load(compose([f"debug={preset}"], ROOT)))
    assert params != check_params(TREE)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"model.atention_dim": 3}, ["model.atention_dim", "did you mean attention_dim?"]),
        ({"modle": {}}, ["unknown key modle", "did you mean model?"]),
        ({"data.extractor.wieghts": None}, ["data.extractor.wieghts", "did you mean weights?"]),
        ({"train.xyz": 1}, ["train.xyz", "known here:", "epochs"]),
        ({"decode.beam_size": 0}, ["decode.beam_size is 0", "greater than or equal to 1"]),
        ({"decode.strategy": "baem"}, ["decode.strategy", "'greedy', 'top_k' or 'beam'", "did you mean beam?"]),
        ({"model.units": "many"}, ["model.units is 'many'", "integer"]),
        ({"model.units": 12.5}, ["model.units is 12.5"]),
        ({"model.units": True}, ["model.units is True"]),
        ({"model.tie_embeddings": "yes"}, ["model.tie_embeddings is 'yes'"]),
        ({"model.dropout": 1.0}, ["model.dropout is 1.0", "less than 1"]),
        ({"train.learning_rate": float("nan")}, ["train.learning_rate"]),
        ({"train.learning_rate": float("inf")}, ["train.learning_rate"]),
        ({"text.vocab_size": 4}, ["text.vocab_size is 4", "greater than 4"]),
        ({"text.vocab_size": 6, "decode.beam_size": 3}, ["decode.beam_size is 3", "text.vocab_size", "2"]),
        ({"decode.min_length": 30}, ["decode.min_length is 30", "text.max_length"]),
        ({"data.name": "karpathy"}, ["data.path is missing", "-S data.path=FOLDER"]),
        ({"data.on_bad_image": "skip"}, ["data.on_bad_image=skip is only for data=karpathy"]),
        ({"data.path": "photos"}, ["data.path is only for data=karpathy"]),
        ({"data.extractor.name": "MobileNetV2"}, ["data.extractor.weights is builtin", "MobileNetV2", "imagenet"]),
        ({"data.extractor.weights": "imagenet"}, ["data.extractor.weights is imagenet", "shapes_cnn"]),
        ({"data.extractor.weights": "mine.weights.h5"}, ["data.extractor.weights is mine.weights.h5", "-S"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"seed": None}, ["seed is None"]),
    ],
)
def test_invalid_value_is_one_line_with_a_hint(changes: dict[str, Any], parts: list[str]) -> None:
    message = error_message(changes)
    for part in parts:
        assert part in message


def test_missing_key_is_named() -> None:
    tree = copy.deepcopy(TREE)
    del tree["train"]["epochs"]
    with pytest.raises(UserError, match=r"train\.epochs is missing"):
        check_params(tree)


KEYS = [f"{section}.{key}" for section in ("text", "model", "train", "decode", "score") for key in TREE[section]]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers())


@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_is_accepted_unchanged_or_rejected_in_one_line(key: str, value: Any) -> None:
    try:
        params = check_params(change_tree({key: value}))
    except UserError as error:
        assert key in str(error)
        assert "\n" not in str(error)
    else:
        section, name = key.split(".")
        assert getattr(getattr(params, section), name) == value


@given(tree=st.recursive(VALUES, lambda node: st.dictionaries(st.sampled_from([*TREE, "x"]), node), max_leaves=6))
def test_schema_rejects_every_random_tree(tree: Any) -> None:
    with pytest.raises(UserError):
        check_params(tree)


def test_missing_file_and_invalid_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1,")
    with pytest.raises(UserError, match="is not valid YAML"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not valid YAML"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("override", ["model.atention_dim=3", "data=coko", "experiment=seeed", "model.units=[", "=3"])
def test_invalid_override_is_one_line(override: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([override], ROOT)
    assert "\n" not in str(caught.value)


def test_dvc_watches_the_users_folder(tmp_path: Path) -> None:
    text = compose(["data=karpathy", f"data.path={tmp_path}"], ROOT)
    assert yaml.safe_load(text)["data"]["watch"] == str(tmp_path)
