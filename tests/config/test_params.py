"""What params.yaml may hold, and what a user is told where it holds something else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from captioner.compose import compose
from captioner.config import UserError, check_params, read_params

ROOT = Path(__file__).parents[2]
TREE = yaml.safe_load((ROOT / "params.yaml").read_text())


def tree_with(changes: dict[str, Any]) -> dict[str, Any]:
    """The committed parameters with some keys ("model.units") set."""
    tree = copy.deepcopy(TREE)
    for key, value in changes.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return tree


def message_of(changes: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check_params(tree_with(changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_params_yaml_is_the_composition_of_conf() -> None:
    assert compose([], ROOT) == (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize("preset", sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml")))
def test_every_preset_composes(preset: str) -> None:
    params = check_params(yaml.safe_load(compose([f"experiment={preset}"], ROOT)))
    assert params.data.name != "shapes"


@pytest.mark.parametrize(
    ("changes", "told"),
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
def test_one_line_says_what_is_wrong(changes: dict[str, Any], told: list[str]) -> None:
    message = message_of(changes)
    for part in told:
        assert part in message


def test_a_missing_key_is_named() -> None:
    tree = copy.deepcopy(TREE)
    del tree["train"]["epochs"]
    with pytest.raises(UserError, match=r"train\.epochs is missing"):
        check_params(tree)


KEYS = [f"{section}.{key}" for section in ("text", "model", "train", "decode", "score") for key in TREE[section]]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers())


@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_is_taken_as_it_is_or_refused_in_one_line(key: str, value: Any) -> None:
    try:
        params = check_params(tree_with({key: value}))
    except UserError as error:
        assert key in str(error)
        assert "\n" not in str(error)
    else:
        section, name = key.split(".")
        assert getattr(getattr(params, section), name) == value


@given(tree=st.recursive(VALUES, lambda node: st.dictionaries(st.sampled_from([*TREE, "x"]), node), max_leaves=6))
def test_no_tree_gets_past_the_schema_or_breaks_it(tree: Any) -> None:
    with pytest.raises(UserError):
        check_params(tree)


def test_a_file_that_is_missing_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1,")
    with pytest.raises(UserError, match="is no YAML"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no YAML"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("override", ["model.atention_dim=3", "data=coko", "experiment=seeed", "model.units=[", "=3"])
def test_overrides_that_do_not_fit_conf(override: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([override], ROOT)
    assert "\n" not in str(caught.value)


def test_what_dvc_watches_is_the_users_folder(tmp_path: Path) -> None:
    text = compose(["data=karpathy", f"data.path={tmp_path}"], ROOT)
    assert yaml.safe_load(text)["data"]["watch"] == str(tmp_path.resolve())
