"""Captions and references in the formats that COCO's tools exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from captioner.config import UserError
from captioner.disk import read_json

RESULTS = '[{"image_id": 1, "caption": "a dog runs"}]'
ANNOTATIONS = '{"annotations": [{"image_id": 1, "caption": "A dog runs."}]}'
KARPATHY = '{"images": [{"cocoid" or "imgid": 1, "split": "val", "sentences": [{"raw": "A dog runs."}]}]}'


def read_results(path: Path) -> dict[int, str]:
    """Image id to caption, of COCO's results format.

    Raises:
        UserError: it is not that format, or a picture has two captions.
    """
    tree = read_json(path)
    if not isinstance(tree, list):
        raise UserError(f"{path} is not in COCO's results format: expected {RESULTS}")
    captions: dict[int, str] = {}
    for number, entry in enumerate(tree):
        image_id, caption = _pair(entry, f"{path}: entry {number}", RESULTS)
        if image_id in captions:
            raise UserError(f"{path}: entry {number}: picture {image_id} has a caption already; give one for each")
        captions[image_id] = caption
    return captions


def read_references(path: Path, split: str | None) -> dict[int, list[str]]:
    """Image id to true captions, of COCO's annotations or of a Karpathy-style JSON.

    Args:
        path: the file.
        split: of the Karpathy-style JSON; None where it has one only, and for annotations.

    Raises:
        UserError: it is neither, or which split is meant is not clear.
    """
    tree = read_json(path)
    if isinstance(tree, dict) and isinstance(tree.get("annotations"), list):
        if split:
            raise UserError(f"{path} holds COCO's annotations, which have no splits: leave out --split")
        pairs = [
            _pair(entry, f"{path}: annotations[{number}]", ANNOTATIONS)
            for number, entry in enumerate(tree["annotations"])
        ]
    elif isinstance(tree, dict) and isinstance(tree.get("images"), list):
        pairs = _of_split(tree["images"], split, path)
    else:
        raise UserError(f"{path} is no file of references: expected {ANNOTATIONS}, or Karpathy's {KARPATHY}")
    references: dict[int, list[str]] = {}
    for image_id, caption in pairs:
        references.setdefault(image_id, []).append(caption)
    return references


def _of_split(images: list[Any], split: str | None, path: Path) -> list[tuple[int, str]]:
    """The captions of a split, each with its picture's id."""
    splits = sorted({str(image.get("split")) for image in images if isinstance(image, dict)})
    if split not in splits and (split or len(splits) != 1):
        raise UserError(f"{path} holds the splits {', '.join(splits)}: choose with --split, e.g. --split val")
    pairs = []
    for number, image in enumerate(images):
        where = f"{path}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("sentences"), list):
            raise UserError(f"{where} is not in Karpathy's format: expected {KARPATHY}")
        if split in (None, image.get("split")):
            image_id = image.get("cocoid", image.get("imgid"))
            sentences = [sentence if isinstance(sentence, dict) else {} for sentence in image["sentences"]]
            entries = [{"image_id": image_id, "caption": sentence.get("raw")} for sentence in sentences]
            pairs += [_pair(entry, where, KARPATHY) for entry in entries]
    return pairs


def _pair(entry: Any, where: str, expected: str) -> tuple[int, str]:
    """An entry's image id and caption, checked."""
    if not isinstance(entry, dict) or type(entry.get("image_id")) is not int or type(entry.get("caption")) is not str:
        raise UserError(f"{where} has no whole number as the picture's id, or no text as caption: expected {expected}")
    return entry["image_id"], entry["caption"]
