"""Every parameter with a value of every wrong type."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from captioner.config import UserError, check_params
from captioner.track.identity import flat

TREE = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
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


@pytest.mark.parametrize("section", ["data", "data.extractor", "text", "model", "train", "decode", "score"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_section_that_is_none(section: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: {section} is ") as caught:
        check_params(with_value(section, value))
    assert "\n" not in str(caught.value)
