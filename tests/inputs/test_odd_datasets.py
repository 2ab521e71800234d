"""A user's folder: unusual captions are used as they are, and invalid entries are an error of one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.repository import compose, make_repo, run
from PIL import Image

from captioner.common.errors import UserError
from captioner.data.datasets.karpathy import read_karpathy_folder

Tree = dict[str, Any]
BUILTIN_CNN = ("data.extractor.name=shapes_cnn", "data.extractor.weights=builtin")


def make_entry(number: int, split: str, *captions: str) -> Tree:
    sentences = [{"raw": text} for text in captions or ("a red thing .", "something red")]
    return {"filename": f"{number}.png", "imgid": number, "split": split, "sentences": sentences}


def make_tree() -> Tree:
    """Return a valid JSON tree with an image of each split."""
    return {"images": [make_entry(0, "train"), make_entry(1, "val"), make_entry(2, "restval"), make_entry(3, "test")]}


def write_folder(folder: Path, tree: Any) -> Path:
    """Write eight images and the JSON, as a tree or as text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        Image.new("RGB", (16, 16), (30 * number, 0, 0)).save(folder / f"{number}.png")
    (folder / "dataset.json").write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return folder


def change_last(**changes: Any) -> Callable[[Tree], object]:
    return lambda tree: tree["images"][3].update(changes)


def remove_from_last(key: str) -> Callable[[Tree], object]:
    return lambda tree: tree["images"][3].pop(key)


# By case: how the tree is changed, and what the error says.
INVALID_ENTRIES: dict[str, tuple[Callable[[Tree], object], str]] = {
    "no train split": (lambda tree: tree["images"].pop(0), "has no images in the split 'train'"),
    "no val split": (lambda tree: tree["images"].pop(1), "has no images in the split 'val'"),
    "no images": (lambda tree: tree["images"].clear(), "has no images in the split"),
    "an unknown split": (change_last(split="dev"), "its split is 'dev'; allowed: train, restval, val, test"),
    "a split that is a list": (change_last(split=["val"]), "splits and captions must be text"),
    "no captions": (change_last(sentences=[]), "has no caption: give it one"),
    "blank captions": (change_last(sentences=[{"raw": " \n"}]), "has no caption: give it one"),
    "a caption that is a number": (change_last(sentences=[{"raw": 5}]), "captions must be text"),
    "captions that are strings": (change_last(sentences=["a dog"]), "is not in Karpathy's format"),
    "captions without raw": (change_last(sentences=[{"tokens": ["a"]}]), "is not in Karpathy's format"),
    "a lone surrogate": (change_last(sentences=[{"raw": "\ud83d"}]), "is not valid JSON"),
    "a repeated id": (change_last(imgid=0), "0.png and 3.png have the same id 0"),
    "no id": (remove_from_last("imgid"), "ids whole numbers"),
    "an id that is text": (change_last(imgid="3"), "ids whole numbers"),
    "an id with a fraction": (change_last(imgid=3.5), "ids whole numbers"),
    "an id that is a boolean": (change_last(imgid=True), "ids whole numbers"),
    "an id of 70 bits": (change_last(imgid=2**70), "ids whole numbers"),
    "no file name": (remove_from_last("filename"), "is not in Karpathy's format"),
    "an empty file name": (change_last(filename=""), "leads out of the folder"),
    "a file name with ..": (change_last(filename="../../3.png"), "leads out of the folder"),
    "an absolute file name": (change_last(filename="/etc/passwd"), "leads out of the folder"),
    "a folder with ..": (change_last(filepath="a/../.."), "leads out of the folder"),
    "an absolute folder": (change_last(filepath="/etc"), "leads out of the folder"),
    "a file name of 5,000 letters": (change_last(filename="x" * 5000), "is not a valid file path"),
    "a file name with a null character": (change_last(filename="a\0.png"), "is not a valid file path"),
    "a file name with a line break": (change_last(filename="a\nb.png"), "is missing: looked for"),
    "a missing image": (change_last(filename="gone.png"), "is missing: looked for"),
    "a folder called .png": (change_last(filename="folder.png"), "is missing: looked for"),
    "an entry that is text": (lambda tree: tree["images"].append("x"), r"images\[4\] is not in Karpathy's format"),
    "an entry that is null": (lambda tree: tree["images"].append(None), r"images\[4\] is not in Karpathy's format"),
}
INVALID_JSON = {
    "an empty file": ("", "is not valid JSON"),
    "half a file": ('{"images": [', "is not valid JSON"),
    "100,000 brackets": ("[" * 100_000, "is not valid JSON"),
    "a list": ("[]", "is not in Karpathy's format"),
    "COCO's annotations": ('{"annotations": [], "images": {}}', "is not in Karpathy's format"),
}


@pytest.mark.parametrize("case", INVALID_ENTRIES)
def test_invalid_entry_is_one_line(case: str, tmp_path: Path) -> None:
    change, message = INVALID_ENTRIES[case]
    tree = make_tree()
    change(tree)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        read_karpathy_folder(write_folder(tmp_path, tree))
    assert str(tmp_path / "dataset.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", INVALID_JSON)
def test_invalid_json_is_one_line(case: str, tmp_path: Path) -> None:
    content, message = INVALID_JSON[case]
    with pytest.raises(UserError, match=message) as caught:
        read_karpathy_folder(write_folder(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_json_that_is_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").mkdir()
    with pytest.raises(UserError, match=r"dataset.json cannot be read"):
        read_karpathy_folder(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_in_the_encodings_of_windows(encoding: str, tmp_path: Path) -> None:
    write_folder(tmp_path, "")
    (tmp_path / "dataset.json").write_text(json.dumps(make_tree()), encoding=encoding)
    assert len(read_karpathy_folder(tmp_path).examples) == 4


FILE_NAMES = [
    "Screenshot 5.00.00\u202fPM.png",
    "été.png",
    "犬 🐕.png",
    " .png",
    "-rf.png",
    "%41.png",
    "a\nb.png",
    "a" * 251 + ".png",
]


@pytest.mark.parametrize("name", FILE_NAMES)
def test_unusual_file_names(name: str, tmp_path: Path) -> None:
    tree = make_tree()
    tree["images"][3]["filename"] = name
    write_folder(tmp_path, tree)
    (tmp_path / "3.png").rename(tmp_path / name)
    example = read_karpathy_folder(tmp_path).examples[3]
    assert (example.file_name, example.path) == (name, tmp_path / name)


@pytest.mark.slow
def test_damaged_image_is_one_line_of_dvc_repro_and_leaves_no_files(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo)
    folder = write_folder(tmp_path / "images", make_tree())
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:-30])
    compose(repo, "data=karpathy", f"data.path={folder}", *BUILTIN_CNN)
    printed = run(repo, "dvc", "repro", status=255)
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "0.png is damaged" in line
    assert not (repo / "data/prepared").exists()
    assert not [path for path in (repo / "data").rglob("*") if path.is_file()]


UNUSUAL_CAPTIONS = {
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
def test_unusual_captions_pass_all_stages(tmp_path: Path) -> None:
    """Run the pipeline with the smallest possible vocabulary, of one word."""
    repo = tmp_path / "repo"
    repo.mkdir()
    make_repo(repo)
    texts = list(UNUSUAL_CAPTIONS.values())
    images = [
        make_entry(0, "train", "a red thing", *texts),
        make_entry(1, "train", *texts),
        make_entry(2, "val", *texts),
    ]
    images += [make_entry(number + 3, "val", text) for number, text in enumerate(texts[:5])]
    folder = write_folder(tmp_path / "images", {"images": images})
    small = ("text.vocab_size=5", "train.epochs=1", "model.units=8", "decode.beam_size=1", "decode.strategy=greedy")
    compose(repo, "data=karpathy", f"data.path={folder}", *BUILTIN_CNN, *small)
    printed = run(repo, "dvc", "repro")
    assert "Traceback" not in printed
    metrics = json.loads((repo / "reports/metrics.json").read_text())
    assert metrics["val_loss"] > 0
    page = (repo / "reports/index.html").read_text()
    assert "<script>alert('dog')" not in page
    for name in ("figures/samples.png", "figures/captions.png"):
        with Image.open(repo / "reports" / name) as figure:
            assert max(figure.size) < 5000
