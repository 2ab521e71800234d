"""The schema of the section ``text`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from captioner.common.schema import PositiveInt, Section
from captioner.text.vocabulary import SPECIAL_TOKENS


class TextConfig(Section):
    """The vocabulary and the length of captions."""

    vocab_size: Annotated[int, Field(gt=len(SPECIAL_TOKENS))]
    max_length: PositiveInt
