"""``index.html``: scores, model, loss curves and captioned images as one self-contained file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.score.report.figures import join_punctuation


@dataclass(frozen=True)
class GalleryImage:
    """An image on the page, at the size of the CNN's input, with its generated caption and that caption's CIDEr.

    ``words`` are the T words of the caption; ``attention_TxP`` holds the attention weights of each over P = side * side
    positions.
    """

    image_id: int
    image_SxSx3: NDArray[np.uint8]
    caption: str
    references: Sequence[str]
    cider: float
    words: Sequence[str]
    attention_TxP: NDArray[np.float32]


# metric: its name and its meaning on the page
_METRICS = {
    "bleu_1": ("BLEU-1", "unigram precision against the references, with brevity penalty"),
    "bleu_2": ("BLEU-2", "n-gram precision up to 2-grams"),
    "bleu_3": ("BLEU-3", "n-gram precision up to 3-grams"),
    "bleu_4": ("BLEU-4", "n-gram precision up to 4-grams; the score usually reported"),
    "rouge_l": ("ROUGE-L", "F-measure of the longest common subsequence with the references"),
    "cider": ("CIDEr", "TF-IDF weighted n-gram similarity to the references; at most 10"),
    "distinct": ("Distinct captions", "different captions as a fraction of all captions"),
    "novel": ("Novel captions", "fraction of captions that are not among the training captions"),
    "unfinished": ("Unfinished", "fraction of captions that stop in the middle, such as “a man with a”"),
    "repeating": ("Repeating", "fraction of captions that immediately repeat a 1- to 4-gram"),
    "vocabulary_used": ("Vocabulary used", "fraction of the vocabulary’s words that occur in the captions"),
    "mean_length": ("Mean length", "words per caption"),
    "val_loss": ("Validation loss", "cross entropy of the best epoch in nats per token, end token included"),
    "val_loss_word": ("… per word", "the same sum of nats divided by the number of words"),
}

_HTML, _STYLE, _SCRIPT = (Path(__file__).with_suffix(kind).read_text("utf-8") for kind in (".html", ".css", ".js"))


def render_page(
    metrics: dict[str, float],
    split: str,
    caption_count: int,
    notes: Sequence[str],
    figures: Path,
    model_text: str,
    gallery: Sequence[GalleryImage],
) -> str:
    """Return the page as HTML with all images embedded.

    Args:
        metrics: those of ``metrics.json`` and ``intervals.json``.
        split: the split that was captioned.
        caption_count: the number of captions that were scored.
        notes: on the scores, below their table.
        figures: the folder with model.png and loss.png.
        model_text: the alternative text of model.png.
        gallery: the images on the page, in order.
    """
    return Template(_HTML).substitute(
        style=_STYLE,
        script=_SCRIPT,
        caption_count=f"{caption_count:,}",
        split=escape(split),
        scores="\n".join(_render_score(metrics, key) for key in _METRICS),
        notes="".join(f'<p class="score">{escape(note)}</p>\n' for note in notes),
        diagram=_encode_png_uri(figures / "model.png"),
        model_text=escape(model_text),
        curves=_encode_png_uri(figures / "loss.png"),
        image_count=len(gallery),
        gallery="".join(map(_render_image, gallery)),
    )


def _render_score(metrics: dict[str, float], key: str) -> str:
    """Return a row of the table of scores."""
    name, meaning = _METRICS[key]
    ends = [f"{metrics[end]:.4f}" for end in (f"{key}_low", f"{key}_high") if end in metrics]
    cells = f'<td class="value">{metrics[key]:.4f}</td><td class="value">{" to ".join(ends)}</td>'
    return f'<tr><th scope="row">{name}</th>{cells}<td class="about">{meaning}</td></tr>'


def _render_image(image: GalleryImage) -> str:
    caption = escape(join_punctuation(image.caption) or "(no words)")
    references = "".join(f"<li>{escape(join_punctuation(reference))}</li>" for reference in image.references)
    side = math.isqrt(image.attention_TxP.shape[1])
    words = "".join(
        f'<button type="button" aria-pressed="false" aria-label="{word}: {_describe_peak(attention_P)}">{word}</button>'
        for word, attention_P in zip(map(escape, image.words), image.attention_TxP, strict=True)
    )
    data = f'data-score="{image.cider:.6f}" data-attention="{_encode_attention(image.attention_TxP)}"'
    return f"""<article id="image-{image.image_id}" {data}>
<div class="view">
<img src="{_encode_jpeg_uri(image.image_SxSx3)}" alt="Image {image.image_id}: {caption}">
<canvas width="{side}" height="{side}" aria-hidden="true"></canvas>
</div>
<div>
<h3>{caption}</h3>
<div class="words" role="group" aria-label="Attention of each word">{words}</div>
<p class="score">CIDEr {image.cider:.2f}; reference captions:</p>
<ul>{references}</ul>
</div>
</article>
"""


def _describe_peak(attention_P: NDArray[Any]) -> str:
    """Return the region with the highest attention as text, such as "upper left"."""
    side = math.isqrt(len(attention_P))
    row, column = divmod(int(attention_P.argmax()), side)
    return f"{('upper', 'middle', 'lower')[3 * row // side]} {('left', 'centre', 'right')[3 * column // side]}"


def _encode_attention(attention_TxP: NDArray[Any]) -> str:
    """Return the weights in base64, one byte each; 255 is the largest weight of a word."""
    normalised_TxP = attention_TxP / np.maximum(attention_TxP.max(axis=1, keepdims=True), 1e-9)
    return base64.b64encode((255 * normalised_TxP).round().astype(np.uint8).tobytes()).decode()


def _encode_png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _encode_jpeg_uri(image_SxSx3: NDArray[Any]) -> str:
    """Return the image as a data URI in JPEG: with PNG the page would be several times larger."""
    encoded = io.BytesIO()
    Image.fromarray(image_SxSx3).save(encoded, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
