"""Drawn scenes and their captions."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.data.datasets.shapes.render import bounding_box, render_scene
from captioner.data.datasets.shapes.scene import (
    BACKGROUNDS,
    COLOURS,
    RADII,
    SHAPES,
    SIDE,
    Scene,
    SceneObject,
    sample_scene,
)
from captioner.data.datasets.shapes.templates import caption_scene, names_all_objects

scenes = st.builds(sample_scene, st.integers(0, 2**32 - 1), st.integers(0, 10**6))


@given(scenes)
def test_five_different_captions_each_name_all_objects(scene: Scene) -> None:
    captions = caption_scene(scene)
    assert len(set(captions)) == len(captions) == 5
    assert all(names_all_objects(caption, scene) for caption in captions), captions


@given(scenes, st.data())
def test_captions_are_wrong_for_another_colour(scene: Scene, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(scene.objects) - 1))
    original = scene.objects[number]
    colour = data.draw(st.sampled_from([colour for colour in COLOURS if colour != original.colour]))
    objects = list(scene.objects)
    objects[number] = dataclasses.replace(original, colour=colour)
    changed = dataclasses.replace(scene, objects=tuple(objects))
    assert not any(names_all_objects(caption, changed) for caption in caption_scene(scene))


@settings(max_examples=40)
@given(scenes)
def test_objects_are_inside_the_image_and_do_not_touch(scene: Scene) -> None:
    assert 1 <= len(scene.objects) <= 3
    boxes = [bounding_box(obj) for obj in scene.objects]
    assert all(0 <= left < right <= SIDE and 0 <= top < bottom <= SIDE for left, top, right, bottom in boxes)
    centres = [(obj.x, obj.y) if scene.place == "row" else (obj.y, obj.x) for obj in scene.objects]
    pairs = zip(centres, centres[1:], scene.objects, scene.objects[1:], strict=False)
    for centre, next_centre, obj, next_obj in pairs:
        along, across = next_centre[0] - centre[0], abs(next_centre[1] - centre[1])
        assert along > obj.radius + next_obj.radius, "the objects touch, or are not in order"
        assert along > 1.9 * across, "a row cannot be distinguished from a column"


def test_scenes_follow_from_the_seed() -> None:
    first, repeated, other = ([render_scene(sample_scene(seed, index)) for index in range(20)] for seed in (7, 7, 8))
    assert np.array_equal(first, repeated)
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    assert first[0].shape == (SIDE, SIDE, 3)
    assert first[0].dtype == np.uint8


def test_scenes_cover_all_attributes_and_relations() -> None:
    sampled = [sample_scene(1, index) for index in range(1000)]
    objects = [obj for scene in sampled for obj in scene.objects]
    assert {obj.shape for obj in objects} == set(SHAPES)
    assert {obj.colour for obj in objects} == set(COLOURS)
    assert {obj.size for obj in objects} == set(RADII)
    assert {scene.background for scene in sampled} == set(BACKGROUNDS) == {"plain", "gradient", "stripes", "noise"}
    assert {len(scene.objects) for scene in sampled} == {1, 2, 3}
    captions = [caption for scene in sampled for caption in caption_scene(scene)]
    text = " ".join(captions)
    for words in ("to the left of", "to the right of", "above", "below", "between", "two large", "three small"):
        assert words in text
    assert max(len(re.findall(r"\w+", caption)) for caption in captions) <= 20


@pytest.mark.parametrize(
    ("caption", "correct"),
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
def test_names_all_objects_counts_colours_and_shapes(caption: str, correct: bool) -> None:
    objects = [("circle", "red"), ("circle", "red"), ("star", "blue")]
    scene = Scene(
        tuple(SceneObject(shape, colour, "small", 48, 48, 9, 0) for shape, colour in objects), "row", "plain", "key"
    )
    assert names_all_objects(caption, scene) is correct
