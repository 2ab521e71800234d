"""The whole room, from files to files."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.config import UserError
from captioner.data.tables import CaptionTable, write_captions
from captioner.score.diagram import model_in_words
from captioner.score.evaluate import evaluate
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

IDS = [30, 10, 20, 40]
CAPTIONS = ["a red <b>dog</b> runs", "a blue cat sits there", "two red dogs", ""]
REFERENCES = [
    ["A red dog runs .", "Dogs & cats run."],
    ["A blue cat sits there."],
    ["Two dogs.", "Red dogs ."],
    ["A man ."],
]
PICTURED = [30, 10, 40]
NETWORK = {"attention": "luong", "attention_dim": 8, "embedding_dim": 8, "units": 8, "dropout": 0.0}
NETWORK |= {"tie_embeddings": True, "initial_state": "image"}
SHAPE = {"positions": 9, "channels": 6, "vocab_size": 14, "model": NETWORK}


@pytest.fixture
def room(tmp_path: Path) -> dict[str, Any]:
    """The files that the other stages leave, with pictures of three of the four captions; arguments for evaluate."""
    write_captions(tmp_path / "prepared/captions", "val", CaptionTable(IDS, [f"{i}.jpg" for i in IDS], REFERENCES))
    (tmp_path / "prepared/pictures/val").mkdir(parents=True)
    for image_id in PICTURED:
        Image.new("RGB", (32, 32), (image_id, 90, 200)).save(tmp_path / f"prepared/pictures/val/{image_id}.png")
    results = [{"image_id": i, "caption": caption} for i, caption in zip(IDS, CAPTIONS, strict=True)]
    (tmp_path / "captions.json").write_text(json.dumps(results))
    epochs = [{"epoch": n, "loss": 2 / n, "val_loss": n + 0.12345678, "val_loss_word": n + 1.0} for n in (1, 2, 3)]
    steps = [{"step": n, "loss": 4 / n} for n in range(1, 10)]
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(SHAPE))
    (tmp_path / "model/history.json").write_text(json.dumps({"epochs": epochs, "steps": steps, "best_epoch": 2}))
    words = [CAPTIONS[IDS.index(i)].split() for i in PICTURED]
    (tmp_path / "attention").mkdir()
    entries = [{"image_id": i, "words": w} for i, w in zip(PICTURED, words, strict=True)]
    (tmp_path / "attention/captions.json").write_text(json.dumps(entries))
    weights_FxTxP = np.random.default_rng(0).random((len(words), 6, 9)).astype(np.float32)
    np.save(tmp_path / "attention/weights.npy", weights_FxTxP)
    files = {name: tmp_path / file for name, file in (("captions", "captions.json"), ("attention", "attention"))}
    vocabulary = Vocabulary.of_words(["a", "red", "dog", "runs", "blue", "cat", "sits", "there", "two", "dogs"])
    (tmp_path / "tokens").mkdir()
    vocabulary.write(tmp_path / "tokens/vocabulary.txt")
    ids = [vocabulary.encode(caption.split(), 20) for caption in ("a blue cat sits there", "a dog")]
    lengths = np.asarray([len(row) for row in ids], np.int32)
    training = TokenizedCaptions(np.concatenate([np.asarray(row, np.int32) for row in ids]), lengths, np.asarray([2]))
    training.write(tmp_path / "tokens/train")
    common = {"model": tmp_path / "model", "split": "val"}
    common |= {"prepared": tmp_path / "prepared", "tokens": tmp_path / "tokens"}
    return files | common | {"figure_pictures": 20, "out": tmp_path / "reports"}


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_metrics(room: dict[str, Any]) -> None:
    logged = evaluate(**room)
    text = (room["out"] / "metrics.json").read_text()
    metrics = json.loads(text)
    intervals = json.loads((room["out"] / "intervals.json").read_text())
    assert logged == metrics | intervals
    assert text.endswith("}\n")
    scores = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l"]
    written = ["distinct", "mean_length", "novel", "repeating", "unfinished", "vocabulary_used"]
    assert list(metrics) == sorted([*scores, *written, "val_loss", "val_loss_word"])
    assert set(intervals) == {f"{name}_{end}" for name in scores for end in ("low", "high")}
    assert (metrics["distinct"], metrics["novel"]) == (1.0, 0.75)
    assert (metrics["val_loss"], metrics["val_loss_word"]) == (2.123457, 3.0)
    assert 0 < metrics["bleu_4"] < metrics["bleu_1"] < 1


def test_files_are_the_same_each_time_and_none_is_stale(room: dict[str, Any]) -> None:
    evaluate(**room)
    once = written(room["out"])
    maps = {f"figures/attention/{image_id}.png" for image_id in PICTURED}
    tables = {"metrics.json", "intervals.json", "each.csv", "losses.csv", "scores.csv"}
    assert (
        once.keys()
        == tables | {"index.html", *(f"figures/{name}.png" for name in ("model", "loss", "captions"))} | maps
    )
    assert once["losses.csv"].decode().splitlines()[:2] == ["epoch,loss,val_loss", "1,2.0,1.12345678"]
    metrics = json.loads(once["metrics.json"])
    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
    assert once["scores.csv"].decode() == "metric,score\n" + "".join(f"{name},{metrics[name]}\n" for name in names)
    (room["out"] / "figures/attention/99.png").write_bytes(b"of another run")
    evaluate(**room)
    assert written(room["out"]) == once


@pytest.mark.parametrize("damage", ["missing", "cut"])
@pytest.mark.parametrize(
    "name",
    [
        *("captions.json", "attention/captions.json", "attention/weights.npy", "model/history.json"),
        *("model/config.json", "prepared/captions/val.parquet", "tokens/vocabulary.txt", "tokens/train/ids.npy"),
    ],
)
def test_what_another_stage_wrote_is_missing_or_damaged(
    name: str, damage: str, room: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2] + b"\xff")
    with pytest.raises(UserError, match=r"`?dvc repro") as caught:
        evaluate(**room)
    assert str(path.parent) in str(caught.value) or "vocabulary" in str(caught.value)
    assert not room["out"].exists()


def test_figure_pictures_limits_the_figures(room: dict[str, Any]) -> None:
    evaluate(**room | {"figure_pictures": 2})
    assert {path.stem for path in (room["out"] / "figures/attention").iterdir()} == {"30", "10"}


def test_captions_of_other_pictures(room: dict[str, Any]) -> None:
    room["captions"].write_text('[{"image_id": 5, "caption": "a dog"}]')
    with pytest.raises(UserError, match="does not hold the captions of the val split"):
        evaluate(**room)


class Outline(HTMLParser):
    """What a reader meets: tags with their attributes, and whether all are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page(room: dict[str, Any]) -> None:
    metrics = evaluate(**room)
    html = (room["out"] / "index.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(html)
    assert not outline.open
    assert ("html", {"lang": "en"}) in outline.tags
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert len(images) == 2 + len(PICTURED)
    assert all(image["alt"] and str(image["src"]).startswith("data:image/") for image in images)
    assert not re.search(r"https?://|<script \w|url\(", html)
    words = [str(attributes["aria-label"]) for tag, attributes in outline.tags if tag == "button"]
    assert len(words) == len(" ".join(CAPTIONS[IDS.index(i)] for i in PICTURED).split())
    assert all(re.fullmatch(r"\S+: (upper|middle|lower) (left|centre|right)", word) for word in words)
    assert f"{metrics['bleu_4']:.4f}" in html
    assert "a red &lt;b&gt;dog&lt;/b&gt; runs" in html
    assert "Dogs &amp; cats run." in html
    assert images[0]["alt"] == model_in_words(SHAPE)
    assert [tag for tag, _ in outline.tags if tag in ("h1", "h2", "h3")] == ["h1"] + ["h2"] * 4 + ["h3"] * len(PICTURED)


# What a reader does: asks for the worst first, then keeps the second word of the first caption that has one.
READER = """<script>
{
  const select = document.querySelector("#order");
  select.value = "worst";
  select.dispatchEvent(new Event("change"));
  const word = document.querySelector("article .words button:nth-child(2)");
  word.click();
  const canvas = word.closest("article").querySelector("canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  document.body.dataset.darkness = pixels.filter((value, index) => index % 4 === 3).join(" ");
}
</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_the_page_in_a_browser(room: dict[str, Any], tmp_path: Path) -> None:
    evaluate(**room)
    page = tmp_path / "read.html"
    page.write_text((room["out"] / "index.html").read_text(encoding="utf-8") + READER, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", profile, "--enable-logging=stderr"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    outline = Outline()
    outline.feed(done.stdout)
    scores = [float(str(attributes["data-score"])) for tag, attributes in outline.tags if tag == "article"]
    assert len(scores) == len(PICTURED)
    assert scores == sorted(scores)
    pressed = [attributes["aria-pressed"] for tag, attributes in outline.tags if tag == "button"]
    assert pressed.count("true") == 1
    (body,) = [attributes for tag, attributes in outline.tags if tag == "body"]
    darkness = [int(value) for value in str(body["data-darkness"]).split()]
    assert len(darkness) == 9
    assert min(darkness) == 0 < max(darkness) <= 217


def test_scoring_needs_no_keras() -> None:
    code = (
        "import sys, captioner.score.evaluate;"
        "sys.exit(bool({'keras', 'tensorflow', 'jax', 'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
