"""Reads a folder of pictures with a Karpathy-style ``dataset*.json``, and says what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from captioner.config import UserError
from captioner.disk import read_json

SPLITS = ("train", "restval", "val", "test")
NEEDED = ("train", "val")
LONGEST_NAME = 255  # bytes, on the file systems that there are
FORMAT = '{"images": [{"filename": ..., "split": ..., "cocoid" or "imgid": ..., "sentences": [{"raw": ...}]}]}'


@dataclass(frozen=True)
class Photo:
    """A picture with its captions, each with its id."""

    image_id: int
    file_name: str
    path: Path
    split: str
    captions: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Album:
    """What a folder holds, in the JSON's order. ``digest`` (12 hex) changes with any picture and any caption."""

    photos: tuple[Photo, ...]
    digest: str

    def of_split(self, split: str) -> list[Photo]:
        """The pictures of a split: train, restval, val or test."""
        return [photo for photo in self.photos if photo.split == split]


def read_album(folder: Path, skip: bool = False) -> Album:
    """Reads and checks the folder's JSON, finds all pictures, and reads each once for the digest.

    Args:
        folder: a user's.
        skip: whether pictures may be missing.

    Raises:
        UserError: there is not exactly one ``dataset*.json``, or it is not in Karpathy's format, or pictures, captions
            or splits are missing.
    """
    source = _only_json(folder)
    tree = read_json(source)
    if not isinstance(tree, dict) or not isinstance(tree.get("images"), list):
        raise UserError(f"{source} is not in Karpathy's format: expected {FORMAT}")
    photos = tuple(_photo(folder, entry, number, source, skip) for number, entry in enumerate(tree["images"]))
    _check(photos, source)
    digest = hashlib.sha256(source.read_bytes())
    for photo in photos:
        digest.update(_digest(photo.path, skip))
    return Album(photos, digest.hexdigest()[:12])


def _only_json(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: set data.path to one with pictures and a dataset*.json")
    found = sorted(folder.glob("dataset*.json"))
    if len(found) != 1:
        what = "no dataset*.json" if not found else f"several: {', '.join(path.name for path in found)}"
        raise UserError(f"{folder} holds {what}; it must hold exactly one, in Karpathy's format")
    return found[0]


def _photo(folder: Path, entry: Any, number: int, source: Path, skip: bool) -> Photo:
    """An entry of ``images``, checked."""
    try:
        image_id = entry.get("cocoid", entry.get("imgid"))
        name, subfolder, split = entry["filename"], entry.get("filepath", ""), entry["split"]
        sentences = [(sentence.get("sentid", 0), sentence["raw"]) for sentence in entry["sentences"]]
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{source}: images[{number}] is not in Karpathy's format: expected {FORMAT}") from None
    where = f"{source}: images[{number}] ({str(name)[:100]!r})"
    strings = (name, subfolder, split, *(raw for _, raw in sentences))
    integers = (image_id, *(sentence_id for sentence_id, _ in sentences))
    if not all(isinstance(value, str) for value in strings) or not all(map(_is_id, integers)):
        raise UserError(f"{where}: names, splits and captions must be text, ids whole numbers: expected {FORMAT}")
    if split not in SPLITS:
        raise UserError(f"{where}: its split is {split!r}; allowed: {', '.join(SPLITS)}")
    captions = tuple((sentence_id, raw) for sentence_id, raw in sentences if raw.strip())
    if not captions:
        raise UserError(f"{where} has no caption: give it one, or take the picture out")
    return Photo(image_id, name, _find(folder, subfolder, name, where, skip), split, captions)


def _is_id(value: Any) -> bool:
    """Whether it is a whole number that the tables hold."""
    return type(value) is int and -(2**63) <= value < 2**63


def _find(folder: Path, subfolder: str, name: str, where: str, skip: bool) -> Path:
    """Where the picture is, or with ``skip`` where it should be.

    The folder may hold links, but names alone must not lead out of it.
    """
    relative = PurePosixPath(subfolder, name)
    if relative.is_absolute() or ".." in relative.parts or not name:
        raise UserError(f"{where}: its path {str(relative)!r} leads out of the folder; give one inside")
    if "\0" in str(relative) or any(len(part.encode()) > LONGEST_NAME for part in relative.parts):
        raise UserError(f"{where}: its path is none that a disk can hold; give the picture's own")
    tried = dict.fromkeys((folder / relative, folder / "images" / name, folder / name))
    for path in tried:
        if os.path.isfile(path):  # noqa: PTH113 (unlike Path's, it is False also for a path that is too long)
            return path
    if skip:
        return folder / relative
    raise UserError(f"{where} is missing: looked for {', '.join(map(str, tried))}")


def _digest(path: Path, skip: bool) -> bytes:
    """Of the picture's content; with ``skip`` also of its absence."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        if skip:
            return (error.strerror or "").encode()
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def _check(photos: tuple[Photo, ...], source: Path) -> None:
    """Checks what can be seen only of all entries together."""
    for split in NEEDED:
        if not any(photo.split == split for photo in photos):
            raise UserError(f"{source} has no pictures in the split {split!r}: mark some with it")
    seen: dict[int, str] = {}
    for photo in photos:
        if photo.image_id in seen:
            both = f"{seen[photo.image_id]} and {photo.file_name}"
            raise UserError(f"{source}: {both} have the same id {photo.image_id}: give each its own")
        seen[photo.image_id] = photo.file_name
