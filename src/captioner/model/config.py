"""The schema of the section ``model`` of ``params.yaml``."""

from __future__ import annotations

from typing import Literal

from captioner.common.schema import PositiveInt, Rate, Section


class ModelConfig(Section):
    """The captioning network."""

    attention: Literal["luong", "bahdanau"]
    attention_dim: PositiveInt
    embedding_dim: PositiveInt
    units: PositiveInt
    tie_embeddings: bool
    initial_state: Literal["image", "zeros"]
    dropout: Rate
