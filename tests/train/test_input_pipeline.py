"""Batches contain every caption once, in an order that only seed and epoch determine."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, PAD, START, UNKNOWN
from captioner.train.input_pipeline import CHUNK, CHUNK_STEP, Batch, InputPipeline

caption_ids = st.lists(st.integers(4, 50), min_size=0, max_size=11).map(lambda words: [*words, END])
datasets = st.lists(st.lists(caption_ids, min_size=1, max_size=4), min_size=1, max_size=12)


def make_pipeline(images: list[list[list[int]]], batch_size: int, **options) -> InputPipeline:
    flat = [ids for image in images for ids in image]
    captions = TokenizedCaptions(
        ids=np.concatenate([np.asarray(ids, np.int32) for ids in flat]),
        lengths_M=np.asarray([len(ids) for ids in flat], np.int32),
        counts_N=np.asarray([len(image) for image in images], np.int32),
    )
    # The only feature of an image is its number, which identifies the image of each caption in a batch.
    features = np.arange(len(images), dtype="float16").reshape(-1, 1, 1)
    return InputPipeline(features, captions, batch_size, **options)


def extract_captions(batch: Batch) -> list[tuple[int, tuple[int, ...]]]:
    """Return (image, ids) of each caption, from targets and token positions, after a check of the inputs."""
    inputs_BxKxT = batch.inputs["input_ids"]
    targets_BxKxT = np.full(inputs_BxKxT.shape, PAD)
    real = batch.weights_XxR == 1
    assert real.sum() == batch.tokens
    assert not batch.weights_XxR[~real].any()
    targets_BxKxT.reshape(-1)[batch.inputs["token_positions"][real]] = batch.targets_XxR[real]
    captions = []
    for b, image in enumerate(batch.inputs["features"][:, 0, 0]):
        for k in range(inputs_BxKxT.shape[1]):
            ids = targets_BxKxT[b, k][targets_BxKxT[b, k] != PAD]
            if len(ids):
                assert list(inputs_BxKxT[b, k, : len(ids)]) == [START, *ids[:-1]]
                captions.append((int(image), tuple(map(int, ids))))
    return captions


@settings(max_examples=60)
@given(images=datasets, batch_size=st.integers(1, 5), epoch=st.integers(1, 3))
def test_an_epoch_contains_every_caption_of_every_image_once(images, batch_size, epoch):
    expected = sorted((number, tuple(ids)) for number, image in enumerate(images) for ids in image)
    pipeline = make_pipeline(images, batch_size)
    for batches in (pipeline.shuffled(epoch), pipeline.in_order()):
        assert sorted(item for batch in batches for item in extract_captions(batch)) == expected


@settings(max_examples=60)
@given(images=datasets, batch_size=st.integers(1, 5), epoch=st.integers(1, 3))
def test_the_remainder_is_spread_so_that_batch_sizes_differ_by_at_most_one(images, batch_size, epoch):
    pipeline = make_pipeline(images, batch_size)
    for batches in (list(pipeline.shuffled(epoch)), list(pipeline.in_order())):
        sizes = [len(batch.inputs["features"]) for batch in batches]
        assert len(sizes) == len(pipeline) == -(-len(images) // batch_size)
        assert max(sizes) <= min(batch_size, min(sizes) + 1)
        numbers = [int(image) for batch in batches for image in batch.inputs["features"][:, 0, 0]]
        assert sorted(numbers) == list(range(len(images)))


def test_batches_without_a_remainder_are_those_of_earlier_versions():
    """Recorded runs whose images fill all batches can then be rebuilt with the same bytes."""
    pipeline = make_pipeline([[[5] * (1 + 7 * number % 11) + [END]] for number in range(12)], batch_size=4, seed=3)
    images = [batch.inputs["features"][:, 0, 0].astype(int).tolist() for batch in pipeline.shuffled(2)]
    assert images == [[1, 3, 6, 9], [2, 4, 7, 10], [0, 5, 8, 11]]


@settings(max_examples=30)
@given(images=datasets, batch_size=st.integers(1, 5), seed=st.integers(0, 9))
def test_seed_and_epoch_determine_the_order(images, batch_size, seed):
    def read_epoch(seed: int, epoch: int) -> list[list[tuple[int, tuple[int, ...]]]]:
        return [extract_captions(batch) for batch in make_pipeline(images, batch_size, seed=seed).shuffled(epoch)]

    assert read_epoch(seed, 2) == read_epoch(seed, 2)


def test_another_epoch_has_another_order():
    pipeline = make_pipeline([[[4 + number, END]] for number in range(40)], batch_size=4, seed=1)
    first, second = ([extract_captions(batch) for batch in pipeline.shuffled(epoch)] for epoch in (1, 2))
    assert first != second


def test_word_dropout_changes_inputs_but_not_targets():
    images = [[[5] * 10 + [END]] for _ in range(200)]
    plain, dropped = (make_pipeline(images, 200, seed=3, word_dropout=rate) for rate in (0.0, 0.3))
    (before,), (after,) = list(plain.shuffled(1)), list(dropped.shuffled(1))
    np.testing.assert_array_equal(before.targets_XxR, after.targets_XxR)
    words = before.inputs["input_ids"] == 5
    assert (before.inputs["input_ids"][~words] == after.inputs["input_ids"][~words]).all()
    assert abs((after.inputs["input_ids"][words] == UNKNOWN).mean() - 0.3) < 0.03


@settings(max_examples=60)
@given(words=st.integers(1, 5000))
def test_chunks_contain_little_padding(words):
    """The cost of the output layer is proportional to the size of the chunks, padding included."""
    (batch,) = make_pipeline([[[5] * 7 + [END]] * (words // 8) + [[5] * (words % 8) + [END]]], batch_size=1).in_order()
    chunks, length = batch.weights_XxR.shape
    assert chunks == -(-batch.tokens // CHUNK)
    assert length <= CHUNK
    assert chunks * length - batch.tokens < chunks * CHUNK_STEP
