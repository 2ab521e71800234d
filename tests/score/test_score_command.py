"""``captioner score``: its file formats, and its scores against coco-caption with the Java tokenizer."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.captions import untidy_caption

from captioner.common.errors import UserError
from captioner.score.caption_files import read_references, read_results
from captioner.score.comparability import explain_references

KARPATHY = {
    "images": [
        {"cocoid": 7, "imgid": 0, "split": "val", "sentences": [{"raw": "A dog."}, {"raw": "The dog!"}]},
        {"imgid": 3, "split": "test", "sentences": [{"raw": "A cat."}]},
    ]
}


def run_captioner(*arguments: str | Path, status: int = 0) -> str:
    command = [sys.executable, "-m", "captioner.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def write_json(path: Path, tree: Any) -> Path:
    path.write_text(json.dumps(tree))
    return path


def write_untidy_files(folder: Path, images: int) -> tuple[Path, Path]:
    """Write references, and captions that share many n-grams with them."""
    rng = random.Random(2)
    annotations = [{"image_id": i, "caption": untidy_caption(rng)} for i in range(images) for _ in range(5)]
    results = []
    for image_id in range(images):
        words = annotations[5 * image_id]["caption"].split() + untidy_caption(rng).split()[:3]
        results.append({"image_id": image_id, "caption": " ".join(words)})
    return write_json(folder / "hyps.json", results), write_json(folder / "refs.json", {"annotations": annotations})


@pytest.mark.skipif(not shutil.which("java"), reason="needs Java")
def test_scores_equal_those_of_coco_caption(tmp_path: Path) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    hyps, refs = write_untidy_files(tmp_path, 1000)
    scores = json.loads(run_captioner("score", hyps, refs, "--json"))
    captions = {entry["image_id"]: [entry] for entry in json.loads(hyps.read_text())}
    raw_references: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(refs.read_text())["annotations"]:
        raw_references.setdefault(entry["image_id"], []).append(entry)
    tokenizer = PTBTokenizer()
    results, references = tokenizer.tokenize(captions), tokenizer.tokenize(raw_references)
    bleu = Bleu(4).compute_score(references, results, verbose=0)[0]
    expected = {f"bleu_{n}": value for n, value in enumerate(bleu, start=1)}
    for name, scorer in (("rouge_l", Rouge()), ("cider", Cider()), ("meteor", Meteor())):
        expected[name] = scorer.compute_score(references, results)[0]
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=5e-4), name
        assert value > 0.05
    for name, (low, high) in scores["intervals"].items():
        assert low < scores[name] < high


def test_the_command_prints_a_table(tmp_path: Path) -> None:
    hyps = write_json(tmp_path / "hyps.json", [{"image_id": 7, "caption": "a dog"}])
    refs = write_json(tmp_path / "dataset.json", KARPATHY)
    assert "choose with --split" in run_captioner("score", hyps, refs, status=1)
    table = run_captioner("score", hyps, refs, "--split", "val")
    assert re.search(r"bleu_1 +│ 1.0000 +│ 1.0000 to 1.0000", table)


def test_void_and_incomparable_scores_have_a_note_in_the_table_and_in_json(tmp_path: Path) -> None:
    hyps = write_json(tmp_path / "hyps.json", [{"image_id": 3, "caption": "a cat"}])
    refs = write_json(tmp_path / "dataset.json", KARPATHY)
    scores = json.loads(run_captioner("score", hyps, refs, "--split", "test", "--json"))
    printed = run_captioner("score", hyps, refs, "--split", "test").splitlines()[-2:]
    assert printed == [f"note: {note}" for note in scores["notes"]]
    assert scores["cider"] == 0


@pytest.mark.parametrize(
    ("references", "notes"),
    [
        ([["a"]], ["cider is void", "published values"]),
        ([["a", "b"]], ["cider is void"]),
        ([["a"], ["b"]], ["published values"]),
        ([["a"], ["b", "c"]], []),
        ([], []),
    ],
)
def test_notes_on_references(references: list[list[str]], notes: list[str]) -> None:
    explained = explain_references(dict(enumerate(references)))
    assert len(explained) == len(notes)
    assert all(expected in note for expected, note in zip(notes, explained, strict=True))


def test_references_are_read_from_both_formats(tmp_path: Path) -> None:
    karpathy = write_json(tmp_path / "dataset.json", KARPATHY)
    assert read_references(karpathy, "val") == {7: ["A dog.", "The dog!"]}
    assert read_references(karpathy, "test") == {3: ["A cat."]}
    annotations = write_json(tmp_path / "a.json", {"annotations": [{"id": 1, "image_id": 7, "caption": "A dog."}]})
    assert read_references(annotations, None) == {7: ["A dog."]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '[{"image_id": "1", "caption": "a"}]',
        '[{"image_id": 1, "caption": null}]',
        '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_files_in_other_formats_are_refused_as_results(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "hyps.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"hyps\.json"):
        read_results(path)


@pytest.mark.parametrize(
    ("tree", "split"),
    [
        ([], None),
        ({"annotations": [{"image_id": 1}]}, None),
        ({"annotations": []}, "val"),
        ({"images": [1]}, "val"),
        ({"images": [{"split": "val"}]}, "val"),
        ({"images": [{"split": "val", "imgid": 1, "sentences": ["a"]}]}, None),
        (KARPATHY, None),
        (KARPATHY, "train"),
    ],
)
def test_files_in_other_formats_are_refused_as_references(tmp_path: Path, tree: Any, split: str | None) -> None:
    with pytest.raises(UserError, match=r"refs\.json"):
        read_references(write_json(tmp_path / "refs.json", tree), split)


def test_missing_files_are_reported(tmp_path: Path) -> None:
    assert "cannot be read" in run_captioner("score", tmp_path / "no.json", tmp_path / "no.json", status=1)
