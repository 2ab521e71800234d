"""Batches hold every caption once, in an order that only the seed and the epoch decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.config import END, PAD, START, UNKNOWN
from captioner.model.batches import Batch, Batches
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
    where_N = batch.inputs["where"][: batch.tokens]
    targets_BxKxT.reshape(-1)[where_N] = batch.targets_N[: batch.tokens]
    assert batch.weights_N[: batch.tokens].all()
    assert not batch.weights_N[batch.tokens :].any()
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
    np.testing.assert_array_equal(before.targets_N, after.targets_N)
    words = before.inputs["inputs"] == 5
    assert (before.inputs["inputs"][~words] == after.inputs["inputs"][~words]).all()
    assert abs((after.inputs["inputs"][words] == UNKNOWN).mean() - 0.3) < 0.03
