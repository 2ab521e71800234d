"""Parameters with values of wrong types, and files that are not valid YAML."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.repository import ROOT, run

from captioner.common.errors import UserError
from captioner.config.params import check_params, flatten, read_params

TREE = yaml.safe_load((ROOT / "params.yaml").read_text())
KEYS = dict(flatten(TREE))
WRONG_VALUES: dict[str, Any] = {
    "a list": [1],
    "a mapping": {"a": 1},
    "a date": yaml.safe_load("2026-01-01"),
    "not a number": float("nan"),
    "infinity": float("-inf"),
    "bytes": b"x",
}


def set_value(key: str, value: Any) -> dict[str, Any]:
    """Return the committed parameters with one key ("model.units") set."""
    tree = copy.deepcopy(TREE)
    *sections, last = key.split(".")
    node = tree
    for section in sections:
        node = node[section]
    node[last] = value
    return tree


@pytest.mark.parametrize("wrong_type", WRONG_VALUES)
@pytest.mark.parametrize("key", KEYS)
def test_wrong_type_is_one_line(key: str, wrong_type: str) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: {key} is ") as caught:
        check_params(set_value(key, WRONG_VALUES[wrong_type]))
    assert "\n" not in str(caught.value)


# By case: the content of params.yaml, and what the error says.
INVALID_FILES: dict[str, tuple[bytes, str]] = {
    "no YAML": (b"a: [", "is not valid YAML"),
    "binary": (b"\xff\xfe\x00", "is not valid YAML"),
    "a list": (b"- a\n- b\n", "the file is ['a', 'b']"),
    "empty": (b"", "seed is missing"),
    "one value": (b"5", "is not valid YAML"),
    "a key twice": (b"seed: 1\nseed: 2\n", "found duplicate key seed"),
    "missing": (b"", "there is no params.yaml"),
    "a reference to a missing key": (
        yaml.safe_dump(set_value("data.watch", "${nope}")).encode(),
        "'nope' not found",
    ),
}


@pytest.mark.parametrize("case", INVALID_FILES)
def test_invalid_file_is_one_line(case: str, tmp_path: Path) -> None:
    content, message = INVALID_FILES[case]
    if case != "missing":
        (tmp_path / "params.yaml").write_bytes(content)
    printed = run(tmp_path, "python", "-m", "captioner.stages.train", status=1)
    (line,) = printed.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_syntax_of_omegaconf_that_plain_yaml_lacks(tmp_path: Path) -> None:
    text = yaml.safe_dump(TREE)
    for old, new in (("learning_rate: 0.004", "learning_rate: 4e-3"), ("units: 128", "units: ${model.embedding_dim}")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text)
    assert read_params(tmp_path / "params.yaml").model_dump() == TREE


def test_invalid_file_of_conf_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/model/default.yaml").write_text("a: [")
    (line,) = run(tmp_path, "python", "-m", "captioner.cli", "params", status=1).splitlines()
    assert line.startswith("error: ")
    assert "default.yaml" in line


@pytest.mark.parametrize("section", ["data", "data.extractor", "text", "model", "train", "decode", "score"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_section_of_a_wrong_type_is_one_line(section: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: {section} is ") as caught:
        check_params(set_value(section, value))
    assert "\n" not in str(caught.value)
