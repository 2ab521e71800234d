"""Reading of captions and references in the file formats of COCO and Karpathy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from captioner.common.errors import UserError
from captioner.common.reading import read_json

RESULTS = '[{"image_id": 1, "caption": "a dog runs"}]'
ANNOTATIONS = '{"annotations": [{"image_id": 1, "caption": "A dog runs."}]}'
KARPATHY = '{"images": [{"cocoid" or "imgid": 1, "split": "val", "sentences": [{"raw": "A dog runs."}]}]}'


def read_results(path: Path) -> dict[int, str]:
    """Return image id to caption from a file in COCO's results format.

    Raises:
        UserError: the file has another format, or two captions for an image.
    """
    tree = read_json(path)
    if not isinstance(tree, list):
        raise UserError(f"{path} is not in COCO's results format: expected {RESULTS}")
    captions: dict[int, str] = {}
    for number, entry in enumerate(tree):
        image_id, caption = _check_entry(entry, f"{path}: entry {number}", RESULTS)
        if image_id in captions:
            raise UserError(f"{path}: entry {number}: a second caption for image {image_id}; give one per image")
        captions[image_id] = caption
    return captions


def read_references(path: Path, split: str | None) -> dict[int, list[str]]:
    """Return image id to reference captions from COCO's annotations or a Karpathy-style JSON.

    Args:
        path: the file.
        split: a split of the Karpathy-style JSON; None for annotations, or if there is only one split.

    Raises:
        UserError: the file has another format, or the split is missing or ambiguous.
    """
    tree = read_json(path)
    if isinstance(tree, dict) and isinstance(tree.get("annotations"), list):
        if split:
            raise UserError(f"{path} holds COCO's annotations, which have no splits: leave out --split")
        pairs = [
            _check_entry(entry, f"{path}: annotations[{number}]", ANNOTATIONS)
            for number, entry in enumerate(tree["annotations"])
        ]
    elif isinstance(tree, dict) and isinstance(tree.get("images"), list):
        pairs = _read_karpathy_pairs(tree["images"], split, path)
    else:
        raise UserError(f"{path} is not a file of references: expected {ANNOTATIONS}, or Karpathy's {KARPATHY}")
    references: dict[int, list[str]] = {}
    for image_id, caption in pairs:
        references.setdefault(image_id, []).append(caption)
    return references


def _read_karpathy_pairs(images: list[Any], split: str | None, path: Path) -> list[tuple[int, str]]:
    """Return image id and caption of every sentence in a split."""
    splits = sorted({str(image.get("split")) for image in images if isinstance(image, dict)})
    if split not in splits and (split or len(splits) != 1):
        raise UserError(f"{path} holds the splits {', '.join(splits)}: choose with --split, e.g. --split val")
    pairs = []
    for number, image in enumerate(images):
        location = f"{path}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("sentences"), list):
            raise UserError(f"{location} is not in Karpathy's format: expected {KARPATHY}")
        if split in (None, image.get("split")):
            image_id = image.get("cocoid", image.get("imgid"))
            sentences = [sentence if isinstance(sentence, dict) else {} for sentence in image["sentences"]]
            entries = [{"image_id": image_id, "caption": sentence.get("raw")} for sentence in sentences]
            pairs += [_check_entry(entry, location, KARPATHY) for entry in entries]
    return pairs


def _check_entry(entry: Any, location: str, expected: str) -> tuple[int, str]:
    """Return an entry's image id and caption.

    Raises:
        UserError: one of them is missing or has another type.
    """
    if not isinstance(entry, dict) or type(entry.get("image_id")) is not int or type(entry.get("caption")) is not str:
        raise UserError(f"{location} has no whole number as image id, or no text as caption: expected {expected}")
    return entry["image_id"], entry["caption"]
