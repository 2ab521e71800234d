"""Reading and checking of a folder in Karpathy's format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.common.errors import UserError
from captioner.data.datasets.karpathy import read_karpathy_folder

Entries = list[dict[str, Any]]


def make_entry(number: int, split: str, **changes: Any) -> dict[str, Any]:
    sentences = [{"raw": f"caption {number}.{n}", "sentid": 10 * number + n} for n in range(2)]
    return {"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences} | changes


def make_valid_entries() -> Entries:
    return [make_entry(0, "train"), make_entry(1, "val"), make_entry(2, "restval"), make_entry(3, "test")]


def write_folder(folder: Path, entries: Entries, name: str = "dataset_mine.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / f"{number}.jpg")
    (folder / name).write_text(json.dumps({"images": entries}))
    return folder


def test_images_are_found_in_all_three_folders(tmp_path: Path) -> None:
    entries = [make_entry(0, "train"), make_entry(1, "val", filepath="deep/er"), make_entry(2, "restval")]
    write_folder(tmp_path, entries)
    for number, subfolder in ((1, "deep/er"), (2, "images")):
        (tmp_path / subfolder).mkdir(parents=True)
        (tmp_path / f"{number}.jpg").rename(tmp_path / subfolder / f"{number}.jpg")
    paths = [example.path.relative_to(tmp_path).as_posix() for example in read_karpathy_folder(tmp_path).examples]
    assert paths == ["0.jpg", "deep/er/1.jpg", "images/2.jpg"]


def test_cocoid_is_preferred_and_blank_captions_are_ignored(tmp_path: Path) -> None:
    entries = make_valid_entries()
    entries[0] |= {"cocoid": 391895, "sentences": [{"raw": " "}, {"raw": " A dog. "}]}
    example = read_karpathy_folder(write_folder(tmp_path, entries)).examples[0]
    assert example.image_id == 391895
    assert [text for _, text in example.captions] == [" A dog. "]


def test_digest_changes_with_images_and_captions(tmp_path: Path) -> None:
    first = read_karpathy_folder(write_folder(tmp_path, make_valid_entries())).digest
    digests = [first, read_karpathy_folder(tmp_path).digest]
    Image.new("RGB", (8, 8), "white").save(tmp_path / "3.jpg")
    digests.append(read_karpathy_folder(tmp_path).digest)
    changed = make_valid_entries()
    changed[1]["sentences"][0]["raw"] = "another"
    digests.append(read_karpathy_folder(write_folder(tmp_path, changed)).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert len(digests[0]) == 12


def remove_key(key: str) -> Callable[[Entries], object]:
    return lambda entries: entries[2].pop(key)


def change_last(**changes: Any) -> Callable[[Entries], object]:
    return lambda entries: entries[3].update(changes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda entries: entries.pop(1), "no images in the split 'val'"),
        (lambda entries: entries.pop(0), "no images in the split 'train'"),
        (change_last(filename="missing.jpg"), "missing.jpg.* is missing: looked for"),
        (change_last(filename="../3.jpg"), "leads out of the folder"),
        (change_last(filename="/etc/passwd"), "leads out of the folder"),
        (change_last(filepath="a/../.."), "leads out of the folder"),
        (change_last(sentences=[]), "3.jpg.* has no caption"),
        (change_last(split="dev"), "its split is 'dev'; allowed: train"),
        (change_last(imgid=0), "0.jpg and 3.jpg have the same id 0"),
        (change_last(imgid="x"), "ids whole numbers"),
        (remove_key("sentences"), r"images\[2\] is not in Karpathy's format"),
        (remove_key("filename"), r"images\[2\] is not in Karpathy's format"),
        (remove_key("imgid"), "ids whole numbers"),
        (lambda entries: entries.append("text"), r"images\[4\] is not in Karpathy's format"),
    ],
)
def test_error_names_the_invalid_entry_in_one_line(
    damage: Callable[[Any], object], message: str, tmp_path: Path
) -> None:
    entries = make_valid_entries()
    damage(entries)
    with pytest.raises(UserError, match=message) as caught:
        read_karpathy_folder(write_folder(tmp_path, entries))
    assert "\n" not in str(caught.value)


def test_folder_must_hold_exactly_one_json_in_the_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        read_karpathy_folder(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no dataset\*.json"):
        read_karpathy_folder(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        read_karpathy_folder(tmp_path)
    (tmp_path / "dataset.json").write_text('{"annotations": []}')
    with pytest.raises(UserError, match="not in Karpathy's format"):
        read_karpathy_folder(tmp_path)
    (tmp_path / "dataset_coco.json").write_text("{}")
    with pytest.raises(UserError, match=r"several: dataset.json, dataset_coco.json"):
        read_karpathy_folder(tmp_path)
