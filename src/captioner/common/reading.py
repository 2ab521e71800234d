"""Reading of files that users or other stages wrote, with errors that name the file and the fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captioner.common.errors import UserError, first_line


def read_json(path: Path) -> Any:
    """Return the content of a user's JSON file in any Unicode encoding.

    Raises:
        UserError: the file cannot be read, is not JSON, or contains a lone surrogate, which is not valid text.
    """
    try:
        tree = json.loads(path.read_bytes())
        json.dumps(tree, ensure_ascii=False).encode()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): repair it") from None
    return tree


@contextmanager
def reading_stage_output(path: Path, split: str | None = None) -> Iterator[None]:
    """Turn errors in reading a file that a stage wrote, of a split if one is given, into one line.

    Raises:
        UserError: ``path`` is missing or damaged.
    """
    if split and not path.is_file():
        raise UserError(f"{path} is missing: the dataset has no {split} split, or `dvc repro prepare` has not run")
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `dvc repro` makes it") from None
    except Exception as error:  # JSON, numpy and parquet readers raise many types on damaged files
        if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno):
            raise
        raise UserError(f"{path} is damaged ({first_line(error)}): `dvc repro` makes it again") from None
