"""Batches hold every caption once, in an order that only the seed and the epoch decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.config import END, PAD, START, UNKNOWN
from captioner.model.batches import PIECE, PIECE_STEP, Batch, Batches
from captioner.text.captions import TokenizedCaptions

caption = st.lists(st.integers(4, 50), min_size=0, max_size=11).map(lambda words: [*words, END])
dataset = st.lists(st.lists(caption, min_size=1, max_size=4), min_size=1, max_size=12)


def batches(pictures: list[list[list[int]]], size: int, **options) -> Batches:
    flat = [ids for picture in pictures for ids in picture]
    captions = TokenizedCaptions(
        ids=np.concatenate([np.asarray(ids, np.int32) for ids in flat]),
        lengths_M=np.asarray([len(ids) for ids in flat], np.int32),
        counts_N=np.asarray([len(picture) for picture in pictures], np.int32),
    )
    # A picture's features are its number, so a batch tells whose captions it holds.
    features = np.arange(len(pictures), dtype="float16").reshape(-1, 1, 1)
    return Batches(features, captions, size, **options)


def captions_in(batch: Batch) -> list[tuple[int, tuple[int, ...]]]:
    """(picture, ids) of each caption, read back from targets and places, checked against the inputs."""
    inputs_BxKxT = batch.inputs["inputs"]
    targets_BxKxT = np.full(inputs_BxKxT.shape, PAD)
    real = batch.weights_XxR == 1
    assert real.sum() == batch.tokens
    assert not batch.weights_XxR[~real].any()
    targets_BxKxT.reshape(-1)[batch.inputs["where"][real]] = batch.targets_XxR[real]
    found = []
    for b, picture in enumerate(batch.inputs["features"][:, 0, 0]):
        for k in range(inputs_BxKxT.shape[1]):
            ids = targets_BxKxT[b, k][targets_BxKxT[b, k] != PAD]
            if len(ids):
                assert list(inputs_BxKxT[b, k, : len(ids)]) == [START, *ids[:-1]]
                found.append((int(picture), tuple(map(int, ids))))
    return found


@settings(max_examples=60)
@given(pictures=dataset, size=st.integers(1, 5), epoch=st.integers(1, 3))
def test_an_epoch_holds_every_caption_of_every_picture_once(pictures, size, epoch):
    expected = sorted((n, tuple(ids)) for n, picture in enumerate(pictures) for ids in picture)
    every = batches(pictures, size)
    for read in (every.shuffled(epoch), every.in_order()):
        assert sorted(item for batch in read for item in captions_in(batch)) == expected


@settings(max_examples=30)
@given(pictures=dataset, size=st.integers(1, 5), seed=st.integers(0, 9))
def test_the_order_follows_from_seed_and_epoch(pictures, size, seed):
    def order(seed: int, epoch: int) -> list[list[tuple[int, tuple[int, ...]]]]:
        return [captions_in(batch) for batch in batches(pictures, size, seed=seed).shuffled(epoch)]

    assert order(seed, 2) == order(seed, 2)


def test_another_epoch_has_another_order():
    every = batches([[[4 + n, END]] for n in range(40)], size=4, seed=1)
    first, second = ([captions_in(batch) for batch in every.shuffled(epoch)] for epoch in (1, 2))
    assert first != second


def test_word_dropout_hides_words_from_the_input_and_never_from_the_target():
    pictures = [[[5] * 10 + [END]] for _ in range(200)]
    plain, dropped = (batches(pictures, 200, seed=3, word_dropout=share) for share in (0.0, 0.3))
    (before,), (after,) = list(plain.shuffled(1)), list(dropped.shuffled(1))
    np.testing.assert_array_equal(before.targets_XxR, after.targets_XxR)
    words = before.inputs["inputs"] == 5
    assert (before.inputs["inputs"][~words] == after.inputs["inputs"][~words]).all()
    assert abs((after.inputs["inputs"][words] == UNKNOWN).mean() - 0.3) < 0.03


@settings(max_examples=60)
@given(words=st.integers(1, 5000))
def test_pieces_are_few_and_almost_all_of_their_words_are_real(words):
    """The output layer's work follows from their number: it must not be spent on padding."""
    (batch,) = batches([[[5] * 7 + [END]] * (words // 8) + [[5] * (words % 8) + [END]]], size=1).in_order()
    pieces, rows = batch.weights_XxR.shape
    assert pieces == -(-batch.tokens // PIECE)
    assert rows <= PIECE
    assert pieces * rows - batch.tokens < pieces * PIECE_STEP
