"""The schema of the section ``train`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from captioner.common.schema import PositiveInt, Rate, Section

# Values of ``monitor`` that are scores of generated captions. Higher is better, unlike for losses.
SCORES = ("val_cider", "val_bleu_4")


class TrainConfig(Section):
    """Backend, optimizer, regularisation and stopping."""

    backend: Literal["tensorflow", "jax"]
    deterministic: bool
    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)] | None
    label_smoothing: Rate
    word_dropout: Rate
    patience: PositiveInt | None
    # Keys that were added later have a default, so that the records of earlier runs can still be read.
    monitor: Literal["val_loss", "loss", "val_cider", "val_bleu_4"] = "val_loss"
    profile: bool = False
