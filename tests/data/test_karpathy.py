"""A user's own folder: what is found, and what is said of a bad one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.config import UserError
from captioner.data.karpathy import read_album

Entries = list[dict[str, Any]]


def entry(number: int, split: str, **changes: Any) -> dict[str, Any]:
    sentences = [{"raw": f"caption {number}.{n}", "sentid": 10 * number + n} for n in range(2)]
    return {"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences} | changes


def write(folder: Path, entries: Entries, name: str = "dataset_mine.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / f"{number}.jpg")
    (folder / name).write_text(json.dumps({"images": entries}))
    return folder


def good() -> Entries:
    return [entry(0, "train"), entry(1, "val"), entry(2, "restval"), entry(3, "test")]


def test_finds_pictures_in_all_three_places(tmp_path: Path) -> None:
    entries = [entry(0, "train"), entry(1, "val", filepath="deep/er"), entry(2, "restval")]
    write(tmp_path, entries)
    for number, place in ((1, "deep/er"), (2, "images")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / f"{number}.jpg").rename(tmp_path / place / f"{number}.jpg")
    paths = [photo.path.relative_to(tmp_path).as_posix() for photo in read_album(tmp_path).photos]
    assert paths == ["0.jpg", "deep/er/1.jpg", "images/2.jpg"]


def test_cocoid_is_preferred_and_blank_captions_are_none(tmp_path: Path) -> None:
    entries = good()
    entries[0] |= {"cocoid": 391895, "sentences": [{"raw": " "}, {"raw": " A dog. "}]}
    photo = read_album(write(tmp_path, entries)).photos[0]
    assert photo.image_id == 391895
    assert [text for _, text in photo.captions] == [" A dog. "]


def test_the_digest_follows_pictures_and_captions(tmp_path: Path) -> None:
    digests = [read_album(write(tmp_path, good())).digest, read_album(tmp_path).digest]
    Image.new("RGB", (8, 8), "white").save(tmp_path / "3.jpg")
    digests.append(read_album(tmp_path).digest)
    changed = good()
    changed[1]["sentences"][0]["raw"] = "another"
    digests.append(read_album(write(tmp_path, changed)).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert len(digests[0]) == 12


def _without(key: str) -> Callable[[Entries], object]:
    return lambda entries: entries[2].pop(key)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda entries: entries.pop(1), "no pictures in the split 'val'"),
        (lambda entries: entries.pop(0), "no pictures in the split 'train'"),
        (lambda entries: entries[3].update(filename="gone.jpg"), "gone.jpg.* is missing: looked for"),
        (lambda entries: entries[3].update(filename="../3.jpg"), "leads out of the folder"),
        (lambda entries: entries[3].update(filename="/etc/passwd"), "leads out of the folder"),
        (lambda entries: entries[3].update(filepath="a/../.."), "leads out of the folder"),
        (lambda entries: entries[3].update(sentences=[]), "3.jpg.* has no caption"),
        (lambda entries: entries[3].update(split="dev"), "its split is 'dev'; allowed: train"),
        (lambda entries: entries[3].update(imgid=0), "0.jpg and 3.jpg have the same id 0"),
        (lambda entries: entries[3].update(imgid="x"), "ids whole numbers"),
        (_without("sentences"), r"images\[2\] is not in Karpathy's format"),
        (_without("filename"), r"images\[2\] is not in Karpathy's format"),
        (_without("imgid"), "ids whole numbers"),
        (lambda entries: entries.append("text"), r"images\[4\] is not in Karpathy's format"),
    ],
)
def test_a_bad_entry_is_named_in_one_line(break_it: Callable[[Any], object], says: str, tmp_path: Path) -> None:
    entries = good()
    break_it(entries)
    with pytest.raises(UserError, match=says) as caught:
        read_album(write(tmp_path, entries))
    assert "\n" not in str(caught.value)


def test_there_must_be_exactly_one_json_in_the_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        read_album(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no dataset\*.json"):
        read_album(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        read_album(tmp_path)
    (tmp_path / "dataset.json").write_text('{"annotations": []}')
    with pytest.raises(UserError, match="not in Karpathy's format"):
        read_album(tmp_path)
    (tmp_path / "dataset_coco.json").write_text("{}")
    with pytest.raises(UserError, match=r"several: dataset.json, dataset_coco.json"):
        read_album(tmp_path)
