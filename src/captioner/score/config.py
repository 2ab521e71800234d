"""The schema of the section ``score`` of ``params.yaml``."""

from __future__ import annotations

from typing import Literal

from captioner.common.schema import PositiveInt, Section


class ScoreConfig(Section):
    """The number of images in figures, and the metric by which runs are compared."""

    figure_pictures: PositiveInt
    objective: Literal["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "val_loss", "val_loss_word"]
