"""The stage ``evaluate``, from its input files to the report."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.score.evaluation import evaluate_captions
from captioner.score.report.model_diagram import describe_model
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

IDS = [30, 10, 20, 40]
CAPTIONS = ["a red <b>dog</b> runs", "a blue cat sits there", "two red dogs", ""]
REFERENCES = [
    ["A red dog runs .", "Dogs & cats run."],
    ["A blue cat sits there."],
    ["Two dogs.", "Red dogs ."],
    ["A man ."],
]
STORED_IDS = [30, 10, 40]
NETWORK = {"attention": "luong", "attention_dim": 8, "embedding_dim": 8, "units": 8, "dropout": 0.0}
NETWORK |= {"tie_embeddings": True, "initial_state": "image"}
MODEL_CONFIG = {"positions": 9, "channels": 6, "vocab_size": 14, "model": NETWORK}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a workspace with the outputs of the other stages; three of the four images are stored."""
    workspace = Workspace(tmp_path)
    table = CaptionsTable(IDS, [f"{i}.jpg" for i in IDS], REFERENCES)
    write_captions_table(workspace.captions, "val", table)
    (workspace.images / "val").mkdir(parents=True)
    for image_id in STORED_IDS:
        Image.new("RGB", (32, 32), (image_id, 90, 200)).save(workspace.images / f"val/{image_id}.png")
    write_model(workspace.model)
    write_tokens(workspace)
    workspace.attention.mkdir(parents=True)
    results = [{"image_id": i, "caption": caption} for i, caption in zip(IDS, CAPTIONS, strict=True)]
    workspace.generated_captions.write_text(json.dumps(results))
    entries = [{"image_id": i, "words": CAPTIONS[IDS.index(i)].split()} for i in STORED_IDS]
    (workspace.attention / "captions.json").write_text(json.dumps(entries))
    weights_FxTxP = np.random.default_rng(0).random((len(entries), 6, 9)).astype(np.float32)
    np.save(workspace.attention / "weights.npy", weights_FxTxP)
    return workspace


def write_model(folder: Path) -> None:
    epochs = [{"epoch": n, "loss": 2 / n, "val_loss": n + 0.12345678, "val_loss_word": n + 1.0} for n in (1, 2, 3)]
    steps = [{"step": n, "loss": 4 / n} for n in range(1, 10)]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(MODEL_CONFIG))
    (folder / "history.json").write_text(json.dumps({"epochs": epochs, "steps": steps, "best_epoch": 2}))


def write_tokens(workspace: Workspace) -> None:
    vocabulary = Vocabulary.from_words(["a", "red", "dog", "runs", "blue", "cat", "sits", "there", "two", "dogs"])
    workspace.tokens.mkdir(parents=True)
    vocabulary.write(workspace.vocabulary)
    ids = [vocabulary.encode(caption.split(), 20) for caption in ("a blue cat sits there", "a dog")]
    lengths = np.asarray([len(row) for row in ids], np.int32)
    training = TokenizedCaptions(np.concatenate([np.asarray(row, np.int32) for row in ids]), lengths, np.asarray([2]))
    training.write(workspace.tokens / "train")


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_metrics_and_intervals_are_written_and_returned(workspace: Workspace) -> None:
    returned = evaluate_captions(workspace, "val", 20)
    text = workspace.metrics.read_text()
    metrics = json.loads(text)
    intervals = json.loads((workspace.reports / "intervals.json").read_text())
    assert returned == metrics | intervals
    assert text.endswith("}\n")
    scores = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l"]
    diversity = ["distinct", "mean_length", "novel", "repeating", "unfinished", "vocabulary_used"]
    assert list(metrics) == sorted([*scores, *diversity, "val_loss", "val_loss_word"])
    assert set(intervals) == {f"{name}_{end}" for name in scores for end in ("low", "high")}
    assert (metrics["distinct"], metrics["novel"]) == (1.0, 0.75)
    assert (metrics["val_loss"], metrics["val_loss_word"]) == (2.123457, 3.0)
    assert 0 < metrics["bleu_4"] < metrics["bleu_1"] < 1


def test_a_second_evaluation_writes_the_same_bytes_and_removes_stale_files(workspace: Workspace) -> None:
    inputs = read_files(workspace.reports)
    evaluate_captions(workspace, "val", 20)
    first = read_files(workspace.reports)
    maps = {f"figures/attention/{image_id}.png" for image_id in STORED_IDS}
    figures = {f"figures/{name}.png" for name in ("model", "loss", "captions")}
    tables = {"metrics.json", "intervals.json", "per_image.csv", "losses.csv", "scores.csv"}
    assert first.keys() - inputs.keys() == tables | {"index.html"} | figures | maps
    assert first["losses.csv"].decode().splitlines()[:2] == ["epoch,loss,val_loss", "1,2.0,1.12345678"]
    metrics = json.loads(first["metrics.json"])
    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
    assert first["scores.csv"].decode() == "metric,score\n" + "".join(f"{name},{metrics[name]}\n" for name in names)
    (workspace.figures / "attention/99.png").write_bytes(b"of another run")
    evaluate_captions(workspace, "val", 20)
    assert read_files(workspace.reports) == first


@pytest.mark.parametrize("damage", ["missing", "truncated"])
@pytest.mark.parametrize(
    "name",
    [
        *("reports/captions.json", "reports/attention/captions.json", "reports/attention/weights.npy"),
        *("models/captioner/history.json", "models/captioner/config.json", "data/prepared/captions/val.parquet"),
        *("data/tokens/vocabulary.txt", "data/tokens/train/ids.npy"),
    ],
)
def test_missing_and_damaged_inputs_are_reported_before_anything_is_written(
    name: str, damage: str, workspace: Workspace
) -> None:
    path = workspace.root / name
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2] + b"\xff")
    before = read_files(workspace.reports)
    with pytest.raises(UserError, match=r"`?dvc repro") as caught:
        evaluate_captions(workspace, "val", 20)
    assert str(path.parent) in str(caught.value) or "vocabulary" in str(caught.value)
    assert read_files(workspace.reports) == before
    assert not workspace.figures.exists()


def test_figure_images_limits_the_figures(workspace: Workspace) -> None:
    evaluate_captions(workspace, "val", 2)
    assert {path.stem for path in (workspace.figures / "attention").iterdir()} == {"30", "10"}


def test_captions_of_other_images_are_refused(workspace: Workspace) -> None:
    workspace.generated_captions.write_text('[{"image_id": 5, "caption": "a dog"}]')
    with pytest.raises(UserError, match="does not hold the captions of the val split"):
        evaluate_captions(workspace, "val", 20)


class Outline(HTMLParser):
    """Collects the tags with their attributes, and checks that all are closed."""

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


def test_the_page_is_complete_escaped_and_accessible(workspace: Workspace) -> None:
    metrics = evaluate_captions(workspace, "val", 20)
    html = (workspace.reports / "index.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(html)
    assert not outline.open
    assert ("html", {"lang": "en"}) in outline.tags
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert len(images) == 2 + len(STORED_IDS)
    assert all(image["alt"] and str(image["src"]).startswith("data:image/") for image in images)
    assert not re.search(r"https?://|<script \w|url\(", html)
    words = [str(attributes["aria-label"]) for tag, attributes in outline.tags if tag == "button"]
    assert len(words) == len(" ".join(CAPTIONS[IDS.index(i)] for i in STORED_IDS).split())
    assert all(re.fullmatch(r"\S+: (upper|middle|lower) (left|centre|right)", word) for word in words)
    assert f"{metrics['bleu_4']:.4f}" in html
    assert "a red &lt;b&gt;dog&lt;/b&gt; runs" in html
    assert "Dogs &amp; cats run." in html
    assert images[0]["alt"] == describe_model(MODEL_CONFIG)
    headings = [tag for tag, _ in outline.tags if tag in ("h1", "h2", "h3")]
    assert headings == ["h1"] + ["h2"] * 4 + ["h3"] * len(STORED_IDS)


def test_the_page_says_below_the_scores_that_cider_of_one_image_is_void(workspace: Workspace) -> None:
    def page() -> str:
        evaluate_captions(workspace, "val", 20)
        return workspace.page.read_text(encoding="utf-8").partition("<h2>Model</h2>")[0]

    assert "cider is void" not in page()
    write_captions_table(workspace.captions, "val", CaptionsTable([30], ["30.jpg"], [["A dog.", "A red dog."]]))
    workspace.generated_captions.write_text('[{"image_id": 30, "caption": "a red dog"}]')
    (workspace.attention / "captions.json").write_text('[{"image_id": 30, "words": ["a", "red", "dog"]}]')
    np.save(workspace.attention / "weights.npy", np.ones((1, 6, 9), np.float32))
    assert '</table>\n<p class="score">cider is void: ' in page()
    assert "notes" not in json.loads(workspace.metrics.read_text())


# Sorts by ascending score, then selects the second word of the first caption that has two words.
USER_ACTIONS = """<script>
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
def test_sorting_and_attention_work_in_a_browser(workspace: Workspace, tmp_path: Path) -> None:
    evaluate_captions(workspace, "val", 20)
    page = tmp_path / "page.html"
    page.write_text((workspace.reports / "index.html").read_text(encoding="utf-8") + USER_ACTIONS, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", profile, "--enable-logging=stderr"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    outline = Outline()
    outline.feed(done.stdout)
    scores = [float(str(attributes["data-score"])) for tag, attributes in outline.tags if tag == "article"]
    assert len(scores) == len(STORED_IDS)
    assert scores == sorted(scores)
    pressed = [attributes["aria-pressed"] for tag, attributes in outline.tags if tag == "button"]
    assert pressed.count("true") == 1
    (body,) = [attributes for tag, attributes in outline.tags if tag == "body"]
    darkness = [int(value) for value in str(body["data-darkness"]).split()]
    assert len(darkness) == 9
    assert min(darkness) == 0 < max(darkness) <= 217


def test_scoring_imports_neither_keras_nor_pyplot() -> None:
    code = (
        "import sys, captioner.score.evaluation;"
        "sys.exit(bool({'keras', 'tensorflow', 'jax', 'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
