"""BLEU, ROUGE-L and CIDEr against coco-caption's own code, nltk, and hand-computed values."""

import math
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu
from pycocoevalcap.bleu.bleu import Bleu

from captioner.common.errors import UserError
from captioner.score.comparability import signed_score
from captioner.score.metrics import score_captions

WORDS = ["a", "the", "dog", "cat", "man", "red", "blue", "ball", "runs", "sits", "on", "in", "grass", "street", "two"]
few_examples = settings(deadline=None, derandomize=True, max_examples=60)  # the first example imports nltk
BLEU = [f"bleu_{n}" for n in range(1, 5)]


def captions(min_length: int = 1) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(WORDS), min_size=min_length, max_size=9).map(" ".join)


def corpora(min_length: int = 1) -> st.SearchStrategy[tuple[dict[int, str], dict[int, list[str]]]]:
    pair = st.tuples(captions(min_length), st.lists(captions(), min_size=1, max_size=4))
    corpus = st.dictionaries(st.integers(0, 10**6), pair, min_size=1, max_size=6)
    return corpus.map(lambda c: ({i: hyp for i, (hyp, _) in c.items()}, {i: refs for i, (_, refs) in c.items()}))


@few_examples
@given(corpora(min_length=4))
def test_bleu_equals_that_of_coco_caption(corpus: tuple[dict[int, str], dict[int, list[str]]]) -> None:
    hypotheses, references = corpus
    scores = score_captions(hypotheses, references).metrics
    expected, _ = Bleu(4).compute_score(references, {i: [caption] for i, caption in hypotheses.items()}, verbose=0)
    for name, value in zip(BLEU, expected, strict=True):
        # If no n-gram matches, coco-caption counts 1e-15 instead of 0, so its score is small but not 0.
        assert scores[name] == pytest.approx(value, abs=1e-6) or (scores[name] < 1e-70 and value < 1e-3)


@few_examples
@given(corpora())
def test_bleu_equals_that_of_nltk(corpus: tuple[dict[int, str], dict[int, list[str]]]) -> None:
    hypotheses, references = corpus
    tokenized = [[caption.split() for caption in references[i]] for i in hypotheses]
    weights = [(1 / n,) * n for n in range(1, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about scores that are 0
        expected = corpus_bleu(tokenized, [caption.split() for caption in hypotheses.values()], weights=weights)
    scores = score_captions(hypotheses, references).metrics
    for name, value in zip(BLEU, expected, strict=True):
        assert scores[name] == pytest.approx(value, rel=1e-12, abs=1e-70)


def test_bleu_equals_a_hand_computed_value() -> None:
    scores = score_captions({1: "the the the cat sat"}, {1: ["The cat sat down.", "the cat the dog sat down"]}).metrics
    # 4 of 5 unigrams ("the" counts twice), 2 of 4 bigrams, 1 of 3 trigrams; the closest length is 4: no brevity penalty
    assert scores["bleu_1"] == pytest.approx(4 / 5)
    assert scores["bleu_2"] == pytest.approx(math.sqrt(4 / 5 * 2 / 4))
    assert scores["bleu_3"] == pytest.approx((4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3))
    assert scores["bleu_4"] == pytest.approx(0)


def test_short_captions_have_a_brevity_penalty() -> None:
    scores = score_captions({1: "a red dog"}, {1: ["a red dog sits on grass"]}).metrics
    assert scores["bleu_1"] == pytest.approx(math.exp(1 - 6 / 3))


def test_rouge_l_equals_a_hand_computed_value() -> None:
    scores = score_captions({1: "a dog runs"}, {1: ["a red dog runs fast"]}).metrics
    precision, recall = 3 / 3, 3 / 5
    assert scores["rouge_l"] == pytest.approx((1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision))


def test_cider_equals_a_hand_computed_value() -> None:
    """The two images share no word, so each n-gram has the weight log 2, and cosines are those of the counts."""
    references = {1: ["dog runs"], 2: ["cat sits"]}
    assert score_captions({1: "dog runs", 2: "cat sits"}, references).metrics["cider"] == pytest.approx(
        10 * (1 + 1) / 4
    )
    # "dog": cosine 1/sqrt(2) of unigrams, 0 of bigrams; the lengths in bigrams differ by one, sigma is 6
    expected = 10 * (math.sqrt(1 / 2) * math.exp(-1 / (2 * 6**2)) / 4 + (1 + 1) / 4) / 2
    assert score_captions({1: "dog", 2: "cat sits"}, references).metrics["cider"] == pytest.approx(expected)


@few_examples
@given(corpora(), st.randoms(use_true_random=False))
def test_order_of_images_and_references_changes_no_bit(
    corpus: tuple[dict[int, str], dict[int, list[str]]], rng: random.Random
) -> None:
    hypotheses, references = corpus
    ids = rng.sample(sorted(hypotheses), len(hypotheses))
    shuffled = {i: rng.sample(references[i], len(references[i])) for i in reversed(ids)}
    assert (
        score_captions({i: hypotheses[i] for i in ids}, shuffled).metrics
        == score_captions(hypotheses, references).metrics
    )


@few_examples
@given(corpora())
def test_scores_are_floats_within_their_bounds(corpus: tuple[dict[int, str], dict[int, list[str]]]) -> None:
    scores = score_captions(*corpus).metrics
    assert list(scores) == [*BLEU, "rouge_l", "cider"]
    assert all(type(score) is float for score in scores.values())
    assert all(0 <= scores[name] <= 1 + 1e-9 for name in [*BLEU, "rouge_l"])
    assert 0 <= scores["cider"] <= 10 + 1e-9


@few_examples
@given(st.lists(captions(min_length=4), min_size=1, max_size=5))
def test_a_caption_equal_to_a_reference_has_the_maximum(texts: list[str]) -> None:
    scores = score_captions(dict(enumerate(texts)), {i: [caption, "a dog"] for i, caption in enumerate(texts)}).metrics
    assert [scores[name] for name in [*BLEU, "rouge_l"]] == pytest.approx([1] * 5)


def test_case_and_punctuation_do_not_count() -> None:
    scores = score_captions({1: "a dog's ball is red"}, {1: ['A "dog\'s" ball,\nis red .']}).metrics
    assert scores["bleu_4"] == pytest.approx(1)


def test_empty_captions_score_zero_without_a_warning() -> None:
    references = {1: ["a dog runs"], 2: ["a cat sits", "the cat"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(score_captions({1: "", 2: " . "}, references).metrics.values()) == {0.0}
        partial = score_captions({1: "", 2: "a cat"}, references).metrics
    assert 0 < partial["bleu_1"] < 1
    assert partial["bleu_4"] < 1e-70


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ({1: "a", 2: "b", 3: "c"}, {1: ["a"]}, r"image 2 \(and 1 others\) has a caption but no reference captions"),
        ({1: "a"}, {1: []}, "image 1 has a caption but no reference captions"),
        ({1: "a"}, {1: ["a"], 7: ["b"]}, "image 7 has reference captions but no caption"),
        ({}, {}, "no captions to score"),
        ({1: "a"}, {1: ["."]}, "no words"),
    ],
)
def test_missing_captions_or_references_are_refused(
    hypotheses: dict[int, str], references: dict[int, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        score_captions(hypotheses, references)


def test_a_lower_loss_is_a_higher_signed_score() -> None:
    assert signed_score("val_loss_word", 2.5) == -2.5
    assert signed_score("bleu_4", 0.25) == 0.25
