"""`docs/reliability.md` says of every odd input what happens."""

from pathlib import Path

import pytest
from test_odd_folders import BAD, NO_JSON, ODD
from test_odd_pictures import REFUSED, SEEN

PAGE = (Path(__file__).parents[2] / "docs/reliability.md").read_text()


@pytest.mark.parametrize("case", [*SEEN, *REFUSED, *BAD, *NO_JSON, *ODD])
def test_case_is_in_a_table(case: str) -> None:
    assert f"\n| {case} | " in PAGE
