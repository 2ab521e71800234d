"""The tokenizer splits captions as coco-caption does, that is, as the Java PTBTokenizer."""

import random
import re
import shutil

import pytest
from helpers.captions import untidy_caption
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.text.tokenizer import ptb_tokenize

fixed_examples = settings(deadline=None, derandomize=True, max_examples=200)
# Characters of real captions; the strategy `text()` would mostly generate rare ones.
CAPTIONS = st.text(st.sampled_from(list("abcdst nN'\"`.,:;!?-()[]{}<>&0123456789\n\t’“”–…éÉ")), max_size=60)


# Captions = their tokens by the Java PTBTokenizer of coco-caption.
JAVA_TOKENS = """
A man rides a wave .                         = a man rides a wave
The dog's ball isn't red.                    = the dog 's ball is n't red
A sign says "stop", (twice) -- and: wait; no! = a sign says stop -lrb- twice -rrb- and wait no
a t-shirt [with] {two} 3.5 inch numbers...   = a t-shirt -lsb- with -rsb- -lcb- two -rcb- 3.5 inch numbers
It’s the dogs’ “ball” – not mine…            = it 's the dogs ball not mine
mr. smith and dr. jones                      = mr. smith and dr. jones
she said no. then left for no. 5             = she said no then left for no. 5
the u.s. flag at 5 p.m.                      = the u.s. flag at 5 p.m.
plan b. next ph.d. a.k.a.                    = plan b. next ph.d. a.k.a.
wow!! what?! so?                             = wow !! what ?! so
hello.. there -- a - b a---b                 = hello there a b a b
don't can't won't shan't ain't               = do n't ca n't wo n't sha n't ai n't
i'm you're we've he'll she'd                 = i 'm you 're we 've he 'll she 'd
cannot gonna gotta wanna lemme gimme         = can not gon na got ta wan na lem me gim me
'tis rock 'n' roll of the '90s               = 't is rock 'n' roll of the '90s
y'all at five o'clock ma'am                  = y' all at five o'clock ma'am
10,000 of 3.5 or .5 or 1/2 or ½ at 2:30pm    = 10,000 of 3.5 or .5 or 1/2 or 1/2 at 2:30 pm
50% of $5.50 #1 #tag @home a@b.com           = 50 % of $ 5.50 # 1 #tag @home a@b.com
at&t r & b a*b ** w/o and/or                 = at & t r & b a * b ** w/o and/or
see http://x.com/a?b=c. :) ;-) :(            = see http://x.com/a?b=c :-rrb- ;--rrb- :-lrb-
'quoted' "words" ``here'' 5'10" the 'dog's'  = quoted words here 5 10 the dog 's
mother-in-law's two-year-old 6-foot-2        = mother-in-law 's two-year-old 6-foot-2
café naïve-ish 日本 90° ¿a?                  = café naïve-ish 日本 90 ° ¿ a
A dog @ 5:30 😀                              = a dog @ 5:30
!!..''--                                     = !!
.                                            =
""".strip().splitlines()


@pytest.mark.parametrize("line", JAVA_TOKENS)
def test_captions_are_split_as_by_the_java_tokenizer(line: str) -> None:
    caption, expected = re.split(r" =(?: |$)", line)
    assert ptb_tokenize(caption) == expected.split()


def test_empty_captions_and_line_breaks() -> None:
    assert ptb_tokenize("") == ptb_tokenize(" \n") == []
    assert ptb_tokenize("Two dogs\nplay\r\n in the  grass.\n") == ["two", "dogs", "play", "in", "the", "grass"]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9f", "\u200b", "\u202e", "\ufeff", "\ue000"])
def test_invisible_characters_are_dropped_as_by_the_java_tokenizer(character: str) -> None:
    assert ptb_tokenize(f"a {character} b c{character}d") == ["a", "b", "c", "d"]
    assert ptb_tokenize("a \xad b c\xadd") == ["a", "b", "cd"]


@pytest.mark.skipif(not shutil.which("java"), reason="needs Java")
def test_untidy_captions_are_split_as_by_the_java_tokenizer() -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    generator = random.Random(1)
    captions = [untidy_caption(generator) for _ in range(1000)]
    java = PTBTokenizer().tokenize({row: [{"caption": caption}] for row, caption in enumerate(captions)})
    assert [" ".join(ptb_tokenize(caption)) for caption in captions] == [java[row][0] for row in range(1000)]


@fixed_examples
@given(st.one_of(st.text(), CAPTIONS))
def test_words_are_lower_case_without_spaces_or_punctuation(caption: str) -> None:
    for word in ptb_tokenize(caption):
        assert word == word.lower()
        assert word.split() == [word]
        assert not re.fullmatch(r"""['"`?!,:;()\[\]{}]|[.]+|-+""", word)


@fixed_examples
@given(CAPTIONS.filter(lambda caption: not re.search(r"[][(){}.,:'’\"`“”…]", caption)))
def test_tokenizing_again_changes_nothing(caption: str) -> None:
    """Captions with characters that are part of a word or punctuation by context ("5.", "p.m.", "'n") are excluded."""
    tokens = ptb_tokenize(caption)
    assert ptb_tokenize(" ".join(tokens)) == tokens


@fixed_examples
@given(CAPTIONS)
def test_white_space_and_case_do_not_matter(caption: str) -> None:
    assert ptb_tokenize(f" \n{caption.upper()}\t".replace(" ", " \n ")) == ptb_tokenize(caption.upper().lower())
