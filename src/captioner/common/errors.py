"""Errors that users can fix, and how programs report them: one line on standard error, exit status 1."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """An error that the user can fix. Its text says what, where, and what to do; it is shown without a traceback."""

    def __init__(self, text: str) -> None:
        # File names in the text can contain line breaks, cursor movements, or bytes that are not valid text.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End the program with one line and status 1 on a `UserError`, an `OSError` or Ctrl-C."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {UserError(_explain_os_error(error))}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, at most 200 characters, or the error's type if the text is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _explain_os_error(error: OSError) -> str:
    """Return the file, the reason, and how to fix it."""
    text = " ".join(str(error).split())[:300]
    where = f"{error.filename}: " if error.filename else ""
    reason = f"{where}{error.strerror or text}"
    # numpy and TFDS report a full disk in the text, without an error number.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or re.search(r"No space left|\d+ requested and \d+ written", text):
        disk_full = f"{where}{error.strerror or os.strerror(errno.ENOSPC)}"
        return f"{disk_full}: free some space, and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}: make it readable and writable, and run the same command again"
    return reason
