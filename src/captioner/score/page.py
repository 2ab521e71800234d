"""``index.html``: scores, the model, loss curves and captioned pictures on one page that needs no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.score.figures import closed_up


@dataclass(frozen=True)
class Shown:
    """A picture of the page as the CNN saw it, its generated and true captions and the caption's CIDEr.

    For each of the T words: where the network looked, as weights over P = side * side positions.
    """

    image_id: int
    picture_SxSx3: NDArray[np.uint8]
    caption: str
    references: Sequence[str]
    score: float
    words: Sequence[str]
    weights_TxP: NDArray[np.float32]


# metric: its name for people, and what it says
_METRICS = {
    "bleu_1": ("BLEU-1", "words that a true caption has too"),
    "bleu_2": ("BLEU-2", "… and pairs of words"),
    "bleu_3": ("BLEU-3", "… and runs of three"),
    "bleu_4": ("BLEU-4", "… and runs of four: the usual figure"),
    "rouge_l": ("ROUGE-L", "longest common subsequence with the true captions"),
    "cider": ("CIDEr", "agreement with the true captions, telling words count more; 10 at most"),
    "distinct": ("Distinct", "share of the captions that differ from each other"),
    "novel": ("Novel", "share that is not among the training captions"),
    "unfinished": ("Unfinished", "share that ends in the middle, as “a man with a”"),
    "repeating": ("Repeating", "share that says one to four words twice in a row"),
    "vocabulary_used": ("Vocabulary used", "share of the vocabulary’s words that occur"),
    "mean_length": ("Mean length", "words a caption"),
    "val_loss": ("Loss a token", "validation loss of the epoch that was kept, nats a token"),
    "val_loss_word": ("Loss a word", "the same in nats a word"),
}

_STYLE, _SCRIPT = ((Path(__file__).parent / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))


def page(
    metrics: dict[str, float], split: str, captions: int, figures: Path, model: str, shown: Sequence[Shown]
) -> str:
    """The page as HTML, its pictures embedded.

    Args:
        metrics: as in `metrics.json` and `intervals.json`.
        split: the split that was captioned.
        captions: the number of captions that were scored.
        figures: the folder with model.png and loss.png.
        model: what model.png shows, in words.
        shown: the pictures to show, in order.
    """
    network = f'<img src="{_png_uri(figures / "model.png")}" alt="{escape(model)}">'
    loss = "Training and validation loss by epoch, the best epoch marked"
    curves = f'<img src="{_png_uri(figures / "loss.png")}" alt="{loss}">'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>captioner: scores and captions</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>Scores and captions</h1>
<p>{captions:,} captions of the {escape(split)} split, scored against all true captions of their pictures.</p>
</header>
<main>
<section>
<h2>Scores</h2>
{_score_table(metrics)}
</section>
<section>
<h2>The model</h2>
<p>Under a layer’s name: its kind, and the width of what it gives. Blue reads the picture, red the words; grey learns
nothing.</p>
<div class="plot">{network}</div>
</section>
<section>
<h2>Training</h2>
<div class="plot">{curves}</div>
</section>
<section>
<h2>Captions</h2>
<p>What the model wrote about {len(shown)} of the pictures. Point at a word, tap it, or move to it with the keyboard:
the picture goes dark where the model did not look.</p>
<p><label>Order <select id="order"><option value="spread">spread over the split</option>
<option value="best">best first</option><option value="worst">worst first</option>
<option value="random">random</option></select></label></p>
<div id="gallery">
{"".join(map(_article, shown))}
</div>
</section>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _score_table(metrics: dict[str, float]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{name}</th><td class="value">{metrics[key]:.4f}</td>'
        f'<td class="value">{_interval(metrics, key)}</td><td class="about">{about}</td></tr>'
        for key, (name, about) in _METRICS.items()
    )
    return f"""<table>
<caption>BLEU and ROUGE-L are fractions: 1 is perfect. For the losses, less is better.</caption>
<thead><tr><th scope="col">Measure</th><th scope="col">Value</th><th scope="col">95 % interval</th>
<th scope="col">What it says</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _interval(metrics: dict[str, float], key: str) -> str:
    return f"{metrics[key + '_low']:.4f} to {metrics[key + '_high']:.4f}" if key + "_low" in metrics else ""


def _article(shown: Shown) -> str:
    caption = escape(closed_up(shown.caption) or "(no words)")
    references = "".join(f"<li>{escape(closed_up(reference))}</li>" for reference in shown.references)
    side = math.isqrt(shown.weights_TxP.shape[1])
    words = "".join(
        f'<button type="button" aria-pressed="false" aria-label="{word}: {_place(weights_P)}">{word}</button>'
        for word, weights_P in zip(map(escape, shown.words), shown.weights_TxP, strict=True)
    )
    data = f'data-score="{shown.score:.6f}" data-attention="{_bytes(shown.weights_TxP)}"'
    return f"""<article id="picture-{shown.image_id}" {data}>
<div class="view">
<img src="{_jpeg_uri(shown.picture_SxSx3)}" alt="Picture {shown.image_id}: {caption}">
<canvas width="{side}" height="{side}" aria-hidden="true"></canvas>
</div>
<div>
<h3>{caption}</h3>
<div class="words" role="group" aria-label="Where it looked, word by word">{words}</div>
<p class="score">CIDEr {shown.score:.2f}; true captions:</p>
<ul>{references}</ul>
</div>
</article>
"""


def _place(weights_P: NDArray[Any]) -> str:
    """Where most of the attention is, in words."""
    side = math.isqrt(len(weights_P))
    row, column = divmod(int(weights_P.argmax()), side)
    return f"{('upper', 'middle', 'lower')[3 * row // side]} {('left', 'centre', 'right')[3 * column // side]}"


def _bytes(weights_TxP: NDArray[Any]) -> str:
    """A byte for each weight, 255 for the largest of each word, in base64."""
    share_TxP = weights_TxP / np.maximum(weights_TxP.max(axis=1, keepdims=True), 1e-9)
    return base64.b64encode((255 * share_TxP).round().astype(np.uint8).tobytes()).decode()


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _jpeg_uri(picture: NDArray[Any]) -> str:
    """A picture as a data URI, as JPEG: a page of pictures as PNG would be several times larger."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
