"""Words to ids and back. The vocabulary is a plain text file: one entry a line, the line number is the id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from captioner.config import END, PAD, SPECIAL_TOKENS, START, UNKNOWN, UserError
from captioner.disk import reading


@dataclass(frozen=True)
class Vocabulary:
    """All entries in the order of their ids; the first four are ``SPECIAL_TOKENS``.

    Raises:
        UserError: an entry stands twice, or the special ones do not come first.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise UserError(
                f"the vocabulary must begin with {', '.join(SPECIAL_TOKENS)}: run `dvc repro tokenize-adapt`"
            )
        if len(set(self.tokens)) != len(self.tokens):
            raise UserError("the vocabulary holds an entry twice: run `dvc repro tokenize-adapt`")

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Vocabulary:
        """The vocabulary of these words, in this order, behind the special tokens."""
        return cls((*SPECIAL_TOKENS, *words))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Reads what `write` wrote."""
        with reading(path):
            return cls(tuple(path.read_text(encoding="utf-8").split("\n")[:-1]))

    def write(self, path: Path) -> None:
        """One entry a line."""
        path.write_text("".join(f"{token}\n" for token in self.tokens), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens) if i >= len(SPECIAL_TOKENS)}

    def encode(self, words: Sequence[str], max_length: int) -> list[int]:
        """Ids of at most ``max_length`` words; ``<end>`` follows only where the caption was not cut.

        A model that saw ``<end>`` behind a cut caption would learn to stop in the middle.
        """
        ids = [self._ids.get(word, UNKNOWN) for word in words[:max_length]]
        return ids if len(words) > max_length else [*ids, END]

    def decode(self, ids: Iterable[int] | np.ndarray) -> list[str]:
        """Words up to the first ``<end>``; padding and ``<start>`` are left out."""
        words: list[str] = []
        for i in map(int, ids):
            if i == END:
                break
            if i not in (PAD, START):
                words.append(self.tokens[i])
        return words
