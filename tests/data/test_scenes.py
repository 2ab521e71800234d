"""Drawn scenes and what is said of them."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.data.grammar import captions_of, names_all_things
from captioner.data.painting import box_of, render
from captioner.data.scenes import COLOURS, RADII, SHAPES, SIDE, Scene, Thing, draw_scene

scenes = st.builds(draw_scene, st.integers(0, 2**32 - 1), st.integers(0, 10**6))


def thing(shape: str, colour: str, size: str = "small") -> Thing:
    return Thing(shape, colour, size, 48, 48, 9, 0)


def scene(*things: Thing) -> Scene:
    return Scene(things, "row", "plain", "key")


@given(scenes)
def test_five_different_captions_each_name_every_thing(drawn: Scene) -> None:
    captions = captions_of(drawn)
    assert len(set(captions)) == len(captions) == 5
    assert all(names_all_things(caption, drawn) for caption in captions), captions


@given(scenes, st.data())
def test_a_caption_does_not_fit_another_look(drawn: Scene, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(drawn.things) - 1))
    was = drawn.things[number]
    colour = data.draw(st.sampled_from([colour for colour in COLOURS if colour != was.colour]))
    things = list(drawn.things)
    things[number] = dataclasses.replace(was, colour=colour)
    assert not any(
        names_all_things(caption, dataclasses.replace(drawn, things=tuple(things))) for caption in captions_of(drawn)
    )


@settings(max_examples=40)
@given(scenes)
def test_things_lie_inside_and_apart(drawn: Scene) -> None:
    assert 1 <= len(drawn.things) <= 3
    boxes = [box_of(each) for each in drawn.things]
    assert all(0 <= left < right <= SIDE and 0 <= top < bottom <= SIDE for left, top, right, bottom in boxes)
    centres = [(each.x, each.y) if drawn.place == "row" else (each.y, each.x) for each in drawn.things]
    for before, after, one, other in zip(centres, centres[1:], drawn.things, drawn.things[1:], strict=False):
        along, across = after[0] - before[0], abs(after[1] - before[1])
        assert along > one.radius + other.radius, "they touch, or are not in order"
        assert along > 1.9 * across, "it is not clear whether they are beside or above each other"


def test_the_same_seed_draws_the_same_and_another_seed_another() -> None:
    first, again, other = ([render(draw_scene(seed, index)) for index in range(20)] for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    assert first[0].shape == (SIDE, SIDE, 3)
    assert first[0].dtype == np.uint8


def test_variety() -> None:
    drawn = [draw_scene(1, index) for index in range(1000)]
    things = [each for one in drawn for each in one.things]
    assert {each.shape for each in things} == set(SHAPES)
    assert {each.colour for each in things} == set(COLOURS)
    assert {each.size for each in things} == set(RADII)
    assert {one.background for one in drawn} == {"plain", "gradient", "stripes", "noise"}
    assert {len(one.things) for one in drawn} == {1, 2, 3}
    text = " ".join(caption for one in drawn for caption in captions_of(one))
    for words in ("to the left of", "to the right of", "above", "below", "between", "two large", "three small"):
        assert words in text
    assert max(len(re.findall(r"\w+", caption)) for one in drawn for caption in captions_of(one)) <= 20


@pytest.mark.parametrize(
    ("caption", "right"),
    [
        ("Two red circles and a blue star.", True),
        ("a red circle left of a blue star and another red circle", True),
        ("one large red circle , one red circle & a small blue star", True),
        ("two red circles", False),
        ("two red circles and two blue stars", False),
        ("a red circle and a blue star", False),
        ("two red circles, a blue star and a green cross", False),
        ("two red circles, a blue star and a cross", False),
        ("two red circles and a blue, green star", False),
        ("red circles and a blue star", False),
        ("two red stars and a blue circle", False),
        ("", False),
    ],
)
def test_what_counts_as_naming_all_things(caption: str, right: bool) -> None:
    drawn = scene(thing("circle", "red"), thing("circle", "red"), thing("star", "blue"))
    assert names_all_things(caption, drawn) is right
