"""`docs/reliability.md` says of every odd input what happens."""

import re
from pathlib import Path

import pytest
from test_odd_folders import BAD, NO_JSON, ODD
from test_odd_pictures import REFUSED, SEEN

PAGE = (Path(__file__).parents[2] / "docs/reliability.md").read_text()


@pytest.mark.parametrize("case", [*SEEN, *ODD])
def test_case_is_in_a_table(case: str) -> None:
    assert f"\n| {case} | " in PAGE


@pytest.mark.parametrize("cases", [REFUSED, BAD, NO_JSON])
def test_what_is_said_is_in_a_table(cases: dict[str, tuple[object, str]]) -> None:
    for case, (_, says) in cases.items():
        plain = re.sub(r"\((\w+)\|(.+)\)", r"\1, or is \2", says).replace("\\", "")
        assert f"\n| {case} | {plain}" in PAGE
