"""The schema of the section ``decode`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from captioner.common.schema import PositiveInt, Section, Split


class DecodeConfig(Section):
    """The split to caption, and the decoding strategy."""

    split: Split
    strategy: Literal["greedy", "top_k", "beam"]
    beam_size: PositiveInt
    length_penalty: Annotated[float, Field(ge=0)]
    top_k: PositiveInt
    temperature: Annotated[float, Field(ge=0.01)]
    min_length: Annotated[int, Field(ge=0)]
    batch_size: PositiveInt
