"""The vocabulary: a plain text file with one token per line; the line number, from 0, is the id."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from captioner.common.errors import UserError
from captioner.common.reading import reading_stage_output

SPECIAL_TOKENS = ("<pad>", "<unk>", "<start>", "<end>")
PAD, UNKNOWN, START, END = range(len(SPECIAL_TOKENS))


@dataclass(frozen=True)
class Vocabulary:
    """All tokens in the order of their ids; the first four are ``SPECIAL_TOKENS``.

    Raises:
        UserError: a token occurs twice, or the special tokens are not the first.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            first = ", ".join(SPECIAL_TOKENS)
            raise UserError(f"vocabulary.txt must begin with {first}: run `dvc repro -f tokenize-adapt`")
        if len(set(self.tokens)) != len(self.tokens):
            raise UserError("the vocabulary contains a token twice: run `dvc repro tokenize-adapt`")

    @classmethod
    def from_words(cls, words: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of the special tokens followed by ``words`` in this order."""
        return cls((*SPECIAL_TOKENS, *words))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Return the vocabulary that `write` wrote.

        Raises:
            UserError: the file is missing or damaged.
        """
        with reading_stage_output(path):
            return cls(tuple(path.read_text(encoding="utf-8").split("\n")[:-1]))

    def write(self, path: Path) -> None:
        """Write one token per line."""
        path.write_text(self._text, encoding="utf-8")

    @property
    def hash(self) -> str:
        """The sha256 of the file that `write` writes."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @property
    def _text(self) -> str:
        return "".join(f"{token}\n" for token in self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens) if i >= len(SPECIAL_TOKENS)}

    def encode(self, words: Sequence[str], max_length: int) -> list[int]:
        """Return the ids of the first ``max_length`` words, with ``<end>`` only if no word was cut off.

        ``<end>`` after a truncated caption would teach the model to stop in the middle of a sentence.
        """
        ids = [self._ids.get(word, UNKNOWN) for word in words[:max_length]]
        return ids if len(words) > max_length else [*ids, END]

    def decode(self, ids: Iterable[int] | np.ndarray) -> list[str]:
        """Return the words before the first ``<end>``, without padding and ``<start>``."""
        before_end = itertools.takewhile(lambda i: i != END, map(int, ids))
        return [self.tokens[i] for i in before_end if i not in (PAD, START)]
