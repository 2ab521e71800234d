"""Adapts the vocabulary to the training captions and turns every split's captions into ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from captioner.config import SPECIAL_TOKENS, Split, Text, UserError
from captioner.data.tables import read_captions
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary
from captioner.text.words import BRACKETS, ptb_words

SPLITS: tuple[Split, ...] = ("train", "val", "test")
_LEFT_OUT = {*BRACKETS.values(), *SPECIAL_TOKENS}


def adapt_vocabulary(captions: list[list[str]], vocab_size: int) -> Vocabulary:
    """The most frequent words, by Keras's ``TextVectorization``: by count, then by the word.

    Args:
        captions: the words of each training caption.
        vocab_size: at most so many entries, the special tokens included.

    Raises:
        UserError: there is no word in the captions.
    """
    import keras
    import tensorflow as tf

    # TextVectorization counts its own padding and unknown entry, which stand for the first two special tokens.
    layer = keras.layers.TextVectorization(
        max_tokens=vocab_size - len(SPECIAL_TOKENS) + 2, standardize=None, split="whitespace"
    )
    texts = [" ".join(words) for words in captions if words]
    if not texts:
        raise UserError("data/prepared/captions: the training captions hold no word; look at the dataset's captions")
    layer.adapt(tf.data.Dataset.from_tensor_slices(texts).batch(1024))
    return Vocabulary.of_words(map(str, layer.get_vocabulary(include_special_tokens=False)))


def tokenize_adapt(text: Text, captions: Path, out: Path) -> Vocabulary:
    """Writes ``vocabulary.txt`` and one folder of ids for each split that there is."""
    words = {
        split: [[_words(caption) for caption in row] for row in read_captions(captions, split).captions]
        for split in SPLITS
        if split != "test" or (captions / "test.parquet").exists()
    }
    vocabulary = adapt_vocabulary([caption for row in words["train"] for caption in row], text.vocab_size)
    out.mkdir(parents=True, exist_ok=True)
    vocabulary.write(out / "vocabulary.txt")
    for split, rows in words.items():
        encoded = [vocabulary.encode(caption, text.max_length) for row in rows for caption in row]
        TokenizedCaptions(
            ids=np.concatenate([np.asarray(ids, np.int32) for ids in encoded]),
            lengths_M=np.asarray([len(ids) for ids in encoded], np.int32),
            counts_N=np.asarray([len(row) for row in rows], np.int32),
        ).write(out / split)
    return vocabulary


def _words(caption: str) -> list[str]:
    """What the scores see, without the brackets: a model that learned to write them would not gain by it.

    Captions that were made ready for another program may hold its ``<start>`` and ``<end>``, which are no words either.
    """
    return [word for word in ptb_words(caption) if word not in _LEFT_OUT]
