"""Words as COCO scores see them."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.text import words
from captioner.text.words import ptb_words

steadily = settings(deadline=None, derandomize=True, max_examples=60)  # the first example imports nltk
# Hypothesis likes odd characters; captions are made of these.
CAPTIONS = st.text(st.sampled_from(list("abcdst nN'\"`.,:;!?-()[]{}<>&0123456789\n\t’“”–…éÉ")), max_size=60)
PLAIN_WORDS = ["a", "dog", "can", "not", "cannot", "gonna", "wanna", "wannabe", "it", "its", "3", "tshirt"]
PLAIN = st.lists(st.sampled_from(PLAIN_WORDS), max_size=8)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A man rides a wave .", "a man rides a wave"),
        ("The dog's ball isn't red.", "the dog 's ball is n't red"),
        ('A sign says "stop", (twice) -- and: wait; now!?', "a sign says stop twice and wait now"),
        ("Two dogs\nplay\r\n in the  grass.\n", "two dogs play in the grass"),
        ("a t-shirt [with] {two} 3.5 inch numbers...", "a t-shirt with two 3.5 inch numbers"),
        ("It’s the dogs’ “ball” – not mine…", "it 's the dogs ball not mine"),
        ("We cannot go", "we can not go"),
        ("A dog @ 5:30", "a dog @ 5:30"),
        ("", ""),
        (" .\n", ""),
        ("!!..''--", ""),
    ],
)
def test_known_captions(caption: str, expected: str) -> None:
    assert ptb_words(caption) == expected.split()


@steadily
@given(st.one_of(st.text(), CAPTIONS))
def test_words_are_lower_case_without_space_or_punctuation(caption: str) -> None:
    for word in ptb_words(caption):
        assert word == word.lower()
        assert word.split() == [word]
        assert word not in ["''", "'", "``", "`", '"', *".?!,:-;()[]{}", "--", "..."]


@steadily
@given(CAPTIONS.filter(lambda caption: not re.search(r"[.,:'’\"`“”…]", caption)))
def test_splitting_again_changes_nothing(caption: str) -> None:
    """Where no mark is both a part of words and punctuation, by its place ("5.", "p.m.", "5,", "'n")."""
    once = ptb_words(caption)
    assert ptb_words(" ".join(once)) == once


@steadily
@given(CAPTIONS)
def test_white_space_and_case_do_not_matter(caption: str) -> None:
    assert ptb_words(f" \n{caption.upper()}\t".replace(" ", " \n ")) == ptb_words(caption.upper().lower())


@steadily
@given(PLAIN, st.sampled_from(["", ".", " ."]))
def test_the_short_way_says_what_the_tokenizer_says(caption: list[str], end: str) -> None:
    line = " ".join(caption) + end
    assert ptb_words(line) == words._treebank_words(line)


def test_plain_captions_need_no_nltk() -> None:
    code = (
        "import sys; from captioner.text.words import ptb_words; ptb_words('A dog runs .');"
        "sys.exit(bool({'nltk', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
