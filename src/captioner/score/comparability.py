"""Which scores can be compared with each other or with published ones, and whether higher or lower is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def signed_score(metric: str, value: float) -> float:
    """Return the value with its sign flipped for losses, so that higher is better."""
    return -value if metric.startswith("val_loss") else value


def is_comparable_across_vocabularies(metric: str) -> bool:
    """Return False for losses: a smaller vocabulary has more ``<unk>``, which is easy to predict."""
    return not metric.startswith("val_loss")


def explain_references(references: Mapping[int, Sequence[str]]) -> list[str]:
    """Return a note for each reason why scores against these references are void, or not those of the literature."""
    notes = []
    if len(references) == 1:
        notes.append(
            "cider is void: it weights n-grams by their rarity among the images (idf), and with one image all weights "
            "are 0; score several hundred images"
        )
    if references and all(len(captions) == 1 for captions in references.values()):
        notes.append(
            "cider, bleu and rouge_l cannot be compared with published values, which are against about five references "
            "per image: there is one here; give all references of each image"
        )
    return notes
