"""``index.html``: scores, loss curves and captioned pictures on one page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
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
    """A picture of the page as the CNN saw it, its generated and true captions, and the file of its attention maps."""

    image_id: int
    picture_SxSx3: NDArray[np.uint8]
    caption: str
    references: Sequence[str]
    maps: Path


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

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa4af; --line: #30363d; --card: #1c2127; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.05rem; line-height: 1.35; margin: 0 0 .5rem; overflow-wrap: anywhere; }
p { color: var(--soft); margin: .25rem 0 1rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; max-width: 56rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { text-align: left; vertical-align: top; font-weight: 400; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .875rem; }
tbody th { font-weight: 600; white-space: nowrap; }
td.value { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.about { color: var(--soft); }
.plot { background: #fff; padding: .5rem; border: 1px solid var(--line); border-radius: 8px; max-width: 52rem; }
article { display: grid; grid-template-columns: 14rem 1fr; gap: .5rem 1.5rem; background: var(--card); padding: 1rem;
  border: 1px solid var(--line); border-radius: 8px; margin-bottom: 1rem; }
article > img { width: 100%; }
article ul { margin: 0; padding-left: 1.1rem; color: var(--soft); font-size: .9375rem; }
details { grid-column: 1 / -1; }
summary { cursor: pointer; padding: .35rem 0; }
.maps { overflow-x: auto; background: #fff; padding: .5rem; border-radius: 4px; }
.maps img { min-width: 40rem; }
:focus-visible { outline: 2px solid #2f6fa7; outline-offset: 2px; }
@media (max-width: 40rem) { article { grid-template-columns: 1fr; } }
"""


def page(metrics: dict[str, float], split: str, captions: int, loss: Path, shown: Sequence[Shown]) -> str:
    """The page as HTML, its pictures embedded.

    Args:
        metrics: as in `metrics.json` and `intervals.json`.
        split: the split that was captioned.
        captions: the number of captions that were scored.
        loss: the PNG file of the loss curves.
        shown: the pictures to show, in order.
    """
    curves = f'<img src="{_png_uri(loss)}" alt="Training and validation loss by epoch, the best epoch marked">'
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
<h2>Training</h2>
<div class="plot">{curves}</div>
</section>
<section>
<h2>Captions</h2>
<p>What the model wrote about {len(shown)} of the pictures; below it, the true captions.</p>
{"".join(_article(picture, unfolded=picture is shown[0]) for picture in shown)}
</section>
</main>
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


def _article(shown: Shown, *, unfolded: bool) -> str:
    caption = escape(closed_up(shown.caption) or "(no words)")
    references = "".join(f"<li>{escape(closed_up(reference))}</li>" for reference in shown.references)
    maps = np.asarray(Image.open(shown.maps).convert("RGB"))
    return f"""<article id="picture-{shown.image_id}">
<img src="{_jpeg_uri(shown.picture_SxSx3)}" alt="Picture {shown.image_id}: {caption}">
<div>
<h3>{caption}</h3>
<ul>{references}</ul>
</div>
<details{" open" if unfolded else ""}>
<summary>Where it looked, word by word</summary>
<div class="maps" tabindex="0" role="group" aria-label="Attention maps, scrollable">
<img src="{_jpeg_uri(maps)}" alt="Attention maps of picture {shown.image_id}, one for each word of: {caption}">
</div>
</details>
</article>
"""


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _jpeg_uri(picture: NDArray[Any]) -> str:
    """A picture as a data URI, as JPEG: a page of pictures as PNG would be several times larger."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
