"""A user's folder: odd captions are taken as they are, and what makes no sense is one line that says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from repository import compose, make_repo, run

from captioner.config import UserError
from captioner.data.karpathy import read_album

Tree = dict[str, Any]


def entry(number: int, split: str, *captions: str) -> Tree:
    sentences = [{"raw": text} for text in captions or ("a red thing .", "something red")]
    return {"filename": f"{number}.png", "imgid": number, "split": split, "sentences": sentences}


def good() -> Tree:
    return {"images": [entry(0, "train"), entry(1, "val"), entry(2, "restval"), entry(3, "test")]}


def write(folder: Path, tree: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        Image.new("RGB", (16, 16), (30 * number, 0, 0)).save(folder / f"{number}.png")
    (folder / "dataset.json").write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return folder


def last(**changes: Any) -> Callable[[Tree], object]:
    return lambda tree: tree["images"][3].update(changes)


def without(key: str) -> Callable[[Tree], object]:
    return lambda tree: tree["images"][3].pop(key)


BAD: dict[str, tuple[Callable[[Tree], object], str]] = {
    "no train split": (lambda tree: tree["images"].pop(0), "has no pictures in the split 'train'"),
    "no val split": (lambda tree: tree["images"].pop(1), "has no pictures in the split 'val'"),
    "no pictures": (lambda tree: tree["images"].clear(), "has no pictures in the split"),
    "an unknown split": (last(split="dev"), "its split is 'dev'; allowed: train, restval, val, test"),
    "a split that is a list": (last(split=["val"]), "splits and captions must be text"),
    "no captions": (last(sentences=[]), "has no caption: give it one"),
    "blank captions": (last(sentences=[{"raw": " \n"}]), "has no caption: give it one"),
    "a caption that is a number": (last(sentences=[{"raw": 5}]), "captions must be text"),
    "captions that are words": (last(sentences=["a dog"]), "is not in Karpathy's format"),
    "captions without raw": (last(sentences=[{"tokens": ["a"]}]), "is not in Karpathy's format"),
    "half a character": (last(sentences=[{"raw": "\ud83d"}]), "is no JSON"),
    "an id twice": (last(imgid=0), "0.png and 3.png have the same id 0"),
    "no id": (without("imgid"), "ids whole numbers"),
    "an id that is text": (last(imgid="3"), "ids whole numbers"),
    "an id with a fraction": (last(imgid=3.5), "ids whole numbers"),
    "an id that is true": (last(imgid=True), "ids whole numbers"),
    "an id of 70 bits": (last(imgid=2**70), "ids whole numbers"),
    "no file name": (without("filename"), "is not in Karpathy's format"),
    "an empty file name": (last(filename=""), "leads out of the folder"),
    "a file name with ..": (last(filename="../../3.png"), "leads out of the folder"),
    "an absolute file name": (last(filename="/etc/passwd"), "leads out of the folder"),
    "a folder with ..": (last(filepath="a/../.."), "leads out of the folder"),
    "an absolute folder": (last(filepath="/etc"), "leads out of the folder"),
    "a file name of 5,000 letters": (last(filename="x" * 5000), "is none that a disk can hold"),
    "a file name with a zero in it": (last(filename="a\0.png"), "is none that a disk can hold"),
    "a file name with a line break": (last(filename="a\nb.png"), "is missing: looked for"),
    "a missing picture": (last(filename="gone.png"), "is missing: looked for"),
    "a folder called .png": (last(filename="folder.png"), "is missing: looked for"),
    "an entry that is text": (lambda tree: tree["images"].append("x"), r"images\[4\] is not in Karpathy's format"),
    "an entry that is null": (lambda tree: tree["images"].append(None), r"images\[4\] is not in Karpathy's format"),
}
NO_JSON = {
    "an empty file": ("", "is no JSON"),
    "half a file": ('{"images": [', "is no JSON"),
    "100,000 brackets": ("[" * 100_000, "is no JSON"),
    "a list": ("[]", "is not in Karpathy's format"),
    "COCO's annotations": ('{"annotations": [], "images": {}}', "is not in Karpathy's format"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_entries(case: str, tmp_path: Path) -> None:
    spoil, says = BAD[case]
    tree = good()
    spoil(tree)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=says) as caught:
        read_album(write(tmp_path, tree))
    assert str(tmp_path / "dataset.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", NO_JSON)
def test_no_json(case: str, tmp_path: Path) -> None:
    content, says = NO_JSON[case]
    with pytest.raises(UserError, match=says) as caught:
        read_album(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_the_json_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").mkdir()
    with pytest.raises(UserError, match=r"dataset.json cannot be read"):
        read_album(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_as_windows_saves_it(encoding: str, tmp_path: Path) -> None:
    write(tmp_path, "")
    (tmp_path / "dataset.json").write_text(json.dumps(good()), encoding=encoding)
    assert len(read_album(tmp_path).photos) == 4


NAMES = [
    "Screenshot 5.00.00\u202fPM.png",
    "été.png",
    "犬 🐕.png",
    " .png",
    "-rf.png",
    "%41.png",
    "a\nb.png",
    "a" * 251 + ".png",
]


@pytest.mark.parametrize("name", NAMES)
def test_file_names_as_people_have_them(name: str, tmp_path: Path) -> None:
    tree = good()
    tree["images"][3]["filename"] = name
    write(tmp_path, tree)
    (tmp_path / "3.png").rename(tmp_path / name)
    photo = read_album(tmp_path).photos[3]
    assert (photo.file_name, photo.path) == (name, tmp_path / name)


@pytest.mark.slow
def test_a_bad_folder_is_one_line_of_dvc_repro_and_leaves_nothing(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo)
    photos = write(tmp_path / "photos", good())
    (photos / "0.png").write_bytes((photos / "0.png").read_bytes()[:-30])
    compose(
        repo, "data=karpathy", f"data.path={photos}", "data.extractor.name=shapes_cnn", "data.extractor.weights=builtin"
    )
    printed = run(repo, "dvc", "repro", status=255)
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "0.png is damaged" in line
    assert not (repo / "data/prepared").exists()
    assert not [path for path in (repo / "data").rglob("*") if path.is_file()]


ODD = {
    "only punctuation": "... !!! ?",
    "emoji": "😀😀 a dog 🐕‍🦺 runs",
    "right to left": "כלב רץ على العشب",
    "Chinese": "一只红色的狗",
    "10,000 words": "a red dog runs on the grass and then " * 1250,
    "one word of 5,000 letters": "x" * 5000,
    "mathematics": r"costs $5 and $\alpha^2_ $10",
    "markup": "<script>alert('dog')</script> & <b>red</b>",
    "control characters": "a\x00red\x1bdog\u2028runs\u202e\ttoo",
    "special tokens": "<start> a dog <end> <pad> <unk>",
}


@pytest.mark.slow
def test_odd_captions_go_through_all_stages(tmp_path: Path) -> None:
    """With the smallest vocabulary there can be: one word."""
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo)
    texts = list(ODD.values())
    images = [entry(0, "train", "a red thing", *texts), entry(1, "train", *texts), entry(2, "val", *texts)]
    images += [entry(number + 3, "val", text) for number, text in enumerate(texts[:5])]
    photos = write(tmp_path / "photos", {"images": images})
    cnn = ("data.extractor.name=shapes_cnn", "data.extractor.weights=builtin")
    small = ("text.vocab_size=5", "train.epochs=1", "model.units=8", "decode.beam_size=1", "decode.strategy=greedy")
    compose(repo, "data=karpathy", f"data.path={photos}", *cnn, *small)
    printed = run(repo, "dvc", "repro")
    assert "Traceback" not in printed
    metrics = json.loads((repo / "reports/metrics.json").read_text())
    assert metrics["val_loss"] > 0
    page = (repo / "reports/index.html").read_text()
    assert "<script>alert('dog')" not in page
    for name in ("figures/samples.png", "figures/captions.png"):
        with Image.open(repo / "reports" / name) as figure:
            assert max(figure.size) < 5000
