"""``captioner score``: files as COCO's tools exchange them, against coco-caption with its Java tokenizer."""

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
from untidy import untidy

from captioner.config import UserError
from captioner.score.files import read_references, read_results

KARPATHY = {
    "images": [
        {"cocoid": 7, "imgid": 0, "split": "val", "sentences": [{"raw": "A dog."}, {"raw": "The dog!"}]},
        {"imgid": 3, "split": "test", "sentences": [{"raw": "A cat."}]},
    ]
}


def captioner(*arguments: str | Path, status: int = 0) -> str:
    command = [sys.executable, "-m", "captioner.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def write(path: Path, tree: Any) -> Path:
    path.write_text(json.dumps(tree))
    return path


def untidy_files(folder: Path, pictures: int) -> tuple[Path, Path]:
    """Captions with much in common with their references."""
    chance = random.Random(2)
    annotations = [{"image_id": i, "caption": untidy(chance)} for i in range(pictures) for _ in range(5)]
    results = []
    for image_id in range(pictures):
        words = annotations[5 * image_id]["caption"].split() + untidy(chance).split()[:3]
        results.append({"image_id": image_id, "caption": " ".join(words)})
    return write(folder / "hyps.json", results), write(folder / "refs.json", {"annotations": annotations})


@pytest.mark.skipif(not shutil.which("java"), reason="needs Java")
def test_scores_are_those_of_coco_caption(tmp_path: Path) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    hyps, refs = untidy_files(tmp_path, 1000)
    ours = json.loads(captioner("score", hyps, refs, "--json"))
    captions = {entry["image_id"]: [entry] for entry in json.loads(hyps.read_text())}
    truths: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(refs.read_text())["annotations"]:
        truths.setdefault(entry["image_id"], []).append(entry)
    tokenizer = PTBTokenizer()
    results, references = tokenizer.tokenize(captions), tokenizer.tokenize(truths)
    bleu = Bleu(4).compute_score(references, results, verbose=0)[0]
    expected = {f"bleu_{n}": score for n, score in enumerate(bleu, start=1)}
    for name, scorer in (("rouge_l", Rouge()), ("cider", Cider()), ("meteor", Meteor())):
        expected[name] = scorer.compute_score(references, results)[0]
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=5e-4), name
        assert value > 0.05
    for name, (low, high) in ours["intervals"].items():
        assert low < ours[name] < high


def test_a_table_for_people(tmp_path: Path) -> None:
    hyps = write(tmp_path / "hyps.json", [{"image_id": 7, "caption": "a dog"}])
    refs = write(tmp_path / "dataset.json", KARPATHY)
    assert "choose with --split" in captioner("score", hyps, refs, status=1)
    table = captioner("score", hyps, refs, "--split", "val")
    assert re.search(r"bleu_1 +│ 1.0000 +│ 1.0000 to 1.0000", table)


def test_references_of_both_formats(tmp_path: Path) -> None:
    karpathy = write(tmp_path / "dataset.json", KARPATHY)
    assert read_references(karpathy, "val") == {7: ["A dog.", "The dog!"]}
    assert read_references(karpathy, "test") == {3: ["A cat."]}
    annotations = write(tmp_path / "a.json", {"annotations": [{"id": 1, "image_id": 7, "caption": "A dog."}]})
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
def test_results_that_are_none(tmp_path: Path, content: str | bytes) -> None:
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
def test_references_that_are_none(tmp_path: Path, tree: Any, split: str | None) -> None:
    with pytest.raises(UserError, match=r"refs\.json"):
        read_references(write(tmp_path / "refs.json", tree), split)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in captioner("score", tmp_path / "no.json", tmp_path / "no.json", status=1)
