"""Differences between the environments of an interrupted training and of the process that resumes it."""

from __future__ import annotations

from typing import Any

MAX_DIFFERENCES = 5  # that are shown of a tree; an upgrade can change hundreds of packages


def describe_differences(old: dict[str, Any], new: dict[str, Any], separator: str = ": ") -> list[str]:
    """Return a line for each key whose values differ, such as ``cores: 2 -> 4`` or ``packages: keras 3.14 -> 3.15``.

    Args:
        old: a JSON tree.
        new: another one.
        separator: is written between the key and its values.
    """
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            difference = ", ".join(describe_differences(before, after, " "))
        else:
            difference = f"{before} -> {after}" if before != after else ""
        if difference:
            lines.append(f"{key}{separator}{difference}")
    if len(lines) > MAX_DIFFERENCES:
        lines[MAX_DIFFERENCES - 1 :] = [f"and {len(lines) - MAX_DIFFERENCES + 1} other differences"]
    return lines
