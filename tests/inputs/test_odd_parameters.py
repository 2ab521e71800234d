"""Every parameter with a value of every wrong type."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT, run

from captioner.config import UserError, check_params, read_params
from captioner.track.identity import flat

TREE = yaml.safe_load((ROOT / "params.yaml").read_text())
KEYS = dict(flat(TREE))
WRONG: dict[str, Any] = {
    "a list": [1],
    "a mapping": {"a": 1},
    "a date": yaml.safe_load("2026-01-01"),
    "not a number": float("nan"),
    "infinity": float("-inf"),
    "bytes": b"x",
}


def with_value(key: str, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    *sections, last = key.split(".")
    node = tree
    for section in sections:
        node = node[section]
    node[last] = value
    return tree


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", KEYS)
def test_wrong_type(key: str, wrong: str) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: {key} is ") as caught:
        check_params(with_value(key, WRONG[wrong]))
    assert "\n" not in str(caught.value)


FILES: dict[str, tuple[bytes, str]] = {
    "no YAML": (b"a: [", "is no YAML"),
    "binary": (b"\xff\xfe\x00", "is no YAML"),
    "a list": (b"- a\n- b\n", "the file is ['a', 'b']"),
    "empty": (b"", "seed is missing"),
    "one value": (b"5", "is no YAML"),
    "a key twice": (b"seed: 1\nseed: 2\n", "found duplicate key seed"),
    "missing": (b"", "there is no params.yaml"),
    "a value that refers to nothing": (
        yaml.safe_dump(with_value("data.watch", "${nope}")).encode(),
        "'nope' not found",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_file_that_is_none(case: str, tmp_path: Path) -> None:
    content, says = FILES[case]
    if case != "missing":
        (tmp_path / "params.yaml").write_bytes(content)
    printed = run(tmp_path, "python", "-m", "captioner.stages.train", status=1)
    (line,) = printed.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_what_omegaconf_understands_and_plain_yaml_does_not(tmp_path: Path) -> None:
    text = yaml.safe_dump(TREE)
    for old, new in (("learning_rate: 0.004", "learning_rate: 4e-3"), ("units: 128", "units: ${model.embedding_dim}")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text)
    assert read_params(tmp_path / "params.yaml").model_dump() == TREE


def test_a_file_of_conf_that_is_no_yaml(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/model/default.yaml").write_text("a: [")
    (line,) = run(tmp_path, "python", "-m", "captioner.compose", status=1).splitlines()
    assert line.startswith("error: ")
    assert "default.yaml" in line


@pytest.mark.parametrize("section", ["data", "data.extractor", "text", "model", "train", "decode", "score"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_section_that_is_none(section: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: {section} is ") as caught:
        check_params(with_value(section, value))
    assert "\n" not in str(caught.value)
