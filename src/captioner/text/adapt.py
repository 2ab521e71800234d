"""Adaptation of the vocabulary to the training captions, and the token ids of every split."""

from __future__ import annotations

import numpy as np

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import SPLITS, read_captions_table
from captioner.text.config import TextConfig
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.tokenizer import BRACKETS, ptb_tokenize
from captioner.text.vocabulary import SPECIAL_TOKENS, Vocabulary

_EXCLUDED_TOKENS = {*BRACKETS.values(), *SPECIAL_TOKENS}


def adapt_vocabulary(captions: list[list[str]], vocab_size: int) -> Vocabulary:
    """Return the vocabulary of the most frequent words, sorted by count and then by word.

    Keras's ``TextVectorization`` counts and sorts the words. ``vocab_size`` is the maximum number of entries, special
    tokens included.

    Raises:
        UserError: the captions contain no word.
    """
    import keras
    import tensorflow as tf

    # TextVectorization counts its padding and unknown entries, which correspond to the first two special tokens.
    max_tokens = vocab_size - len(SPECIAL_TOKENS) + 2
    layer = keras.layers.TextVectorization(max_tokens, standardize=None, split="whitespace")
    texts = [" ".join(words) for words in captions if words]
    if not texts:
        raise UserError("data/prepared/captions: the training captions contain no word: check the dataset's captions")
    layer.adapt(tf.data.Dataset.from_tensor_slices(texts).batch(1024))
    return Vocabulary.from_words(map(str, layer.get_vocabulary(include_special_tokens=False)))


def tokenize_adapt(text: TextConfig, workspace: Workspace) -> Vocabulary:
    """Write ``vocabulary.txt`` and one folder of token ids for each split, and return the vocabulary.

    Raises:
        UserError: the training or validation captions are missing or damaged, or the training captions contain no word.
    """
    captions, tokens = workspace.captions, workspace.tokens
    words = {
        split: [[_tokenize(caption) for caption in row] for row in read_captions_table(captions, split).captions]
        for split in SPLITS
        if split != "test" or (captions / "test.parquet").exists()
    }
    vocabulary = adapt_vocabulary([caption for row in words["train"] for caption in row], text.vocab_size)
    tokens.mkdir(parents=True, exist_ok=True)
    vocabulary.write(workspace.vocabulary)
    for split, rows in words.items():
        encoded = [vocabulary.encode(caption, text.max_length) for row in rows for caption in row]
        TokenizedCaptions(
            ids=np.concatenate([np.asarray(ids, np.int32) for ids in encoded]),
            lengths_M=np.asarray([len(ids) for ids in encoded], np.int32),
            counts_N=np.asarray([len(row) for row in rows], np.int32),
        ).write(tokens / split)
    return vocabulary


def _tokenize(caption: str) -> list[str]:
    """Return the words that the scores count, without brackets and special tokens.

    A model gains nothing from brackets. Captions prepared for another program can contain its ``<start>`` and
    ``<end>``, which are not words.
    """
    return [word for word in ptb_tokenize(caption) if word not in _EXCLUDED_TOKENS]
