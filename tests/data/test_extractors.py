"""Frozen CNNs, each with its own preprocessing."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from captioner import config
from captioner.config import UserError
from captioner.data.extractors import SIDES, Extractor, networks
from captioner.data.painting import render
from captioner.data.pictures import picture_bytes, png_bytes
from captioner.data.scenes import COLOURS, draw_scene
from captioner.data.shapes_cnn import BUILTIN_WEIGHTS, GRID

SCENES = [draw_scene(3, index) for index in range(40)]
PICTURES = [png_bytes(Image.fromarray(render(scene))) for scene in SCENES]


def extractor(name: str, weights: str | None = None, batch_size: int = 16) -> Extractor:
    return Extractor(config.Extractor(name=name, weights=weights, batch_size=batch_size, watch=""))


@pytest.fixture(scope="module")
def builtin() -> Extractor:
    return extractor("shapes_cnn", "builtin")


def test_the_builtin_weights_are_small_and_fit(builtin: Extractor) -> None:
    assert BUILTIN_WEIGHTS.stat().st_size < 1e6
    assert builtin.positions == GRID**2
    features_NxPxC = builtin.features_of(PICTURES)
    assert features_NxPxC.shape == (len(PICTURES), builtin.positions, builtin.channels)
    assert features_NxPxC.dtype == np.float16


def test_a_picture_alone_has_the_features_it_has_in_a_batch(builtin: Extractor) -> None:
    together_NxPxC = builtin.features_of(PICTURES)
    alone_NxPxC = np.concatenate([builtin.features_of([picture]) for picture in PICTURES[:5]])
    np.testing.assert_allclose(alone_NxPxC, together_NxPxC[:5], rtol=2e-3, atol=2e-3)


def test_features_lie_where_the_things_are(builtin: Extractor) -> None:
    """So that attention has something to rest on: the loudest cells are on things, whatever the background."""
    for scene, features_PxC in zip(SCENES, builtin.features_of(PICTURES).astype(np.float32), strict=True):
        y, x = divmod(int(features_PxC.sum(1).argmax()), GRID)
        distances = [np.hypot((x + 0.5) * 16 - thing.x, (y + 0.5) * 16 - thing.y) for thing in scene.things]
        assert min(distances) < 20


def test_a_colour_can_be_read_off_a_cell_linearly(builtin: Extractor) -> None:
    """A linear fit on 200 scenes knows 95 % of the colours in others."""
    scenes = [draw_scene(4, index) for index in range(300)]
    features_NxPxC = builtin.features_of([png_bytes(Image.fromarray(render(scene))) for scene in scenes])
    rows = [
        (features_PxC[int(thing.y) // 16 * GRID + int(thing.x) // 16], list(COLOURS).index(thing.colour))
        for scene, features_PxC in zip(scenes, features_NxPxC.astype(np.float64), strict=True)
        for thing in scene.things
    ]
    cells_MxC, colours_M = np.array([cell for cell, _ in rows]), np.array([colour for _, colour in rows])
    ones_MxC = np.hstack([cells_MxC, np.ones((len(rows), 1))])
    split = len(rows) * 2 // 3
    weights_CxK, *_ = np.linalg.lstsq(ones_MxC[:split], np.eye(len(COLOURS))[colours_M[:split]], rcond=1e-6)
    assert ((ones_MxC[split:] @ weights_CxK).argmax(1) == colours_M[split:]).mean() > 0.95


def test_the_picture_as_the_cnn_saw_it(builtin: Extractor) -> None:
    assert np.array_equal(builtin.seen(PICTURES[0]), render(SCENES[0]))
    wide = png_bytes(Image.new("RGB", (300, 20), (10, 200, 30)))
    assert (builtin.seen(wide) == (10, 200, 30)).all()
    assert builtin.seen(wide).shape == (96, 96, 3)


def test_every_network_has_a_preprocessing_of_its_own_module() -> None:
    known = networks()
    assert len(known) > 35
    assert set(SIDES) <= set(known)
    modules = {name: built.__module__.rpartition(".")[2] for name, built in known.items()}
    assert modules["ResNet50"] != modules["ResNet50V2"]
    assert modules["MobileNetV2"] == "mobilenet_v2"


@pytest.mark.parametrize(
    ("name", "low", "high"), [("MobileNetV2", -1, 1), ("DenseNet121", -2.2, 2.7), ("VGG16", -123.68, 151.06)]
)
def test_each_network_gets_the_pixels_it_was_made_for(name: str, low: float, high: float) -> None:
    import tensorflow as tf

    seen = []
    network = extractor(name)
    network._model = lambda pixels, training: seen.append(pixels) or tf.zeros((1, 7, 7, network.channels))
    with tf.device("cpu"):
        for grey in (0.0, 255.0):
            network._features(tf.fill((1, 224, 224, 3), grey))
    assert float(tf.reduce_min(seen[0])) == pytest.approx(low, abs=0.1)
    assert float(tf.reduce_max(seen[1])) == pytest.approx(high, abs=0.1)


def test_an_untrained_network_is_the_same_each_time() -> None:
    first, again = (extractor("shapes_cnn").features_of(PICTURES[:2]) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        ("MobilNetV2", None, "did you mean MobileNetV2?"),
        ("inceptionresnetv2", None, "did you mean InceptionResNetV2?"),
        ("preprocess_input", None, "is no network"),
        ("shapes_cnn", "/nowhere.weights.h5", "there is no file /nowhere.weights.h5"),
        ("shapes_cnn", __file__, "does not fit shapes_cnn"),
        ("MobileNetV2", str(BUILTIN_WEIGHTS), "does not fit MobileNetV2"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(name: str, weights: str | None, says: str) -> None:
    with pytest.raises(UserError) as caught:
        extractor(name, weights)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_do_not_fit(tmp_path: Path) -> None:
    narrow = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3), alpha=0.35)
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(UserError, match="does not fit MobileNetV2"):
        extractor("MobileNetV2", str(tmp_path / "narrow.weights.h5"))


def test_missing_downloads_are_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise Exception("URL fetch failure on https://example.org: None -- unreachable\nmore")  # as keras does

    offline.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(UserError, match=r"ImageNet weights of MobileNetV2 could not be had.*allow the download"):
        extractor("MobileNetV2", "imagenet")


def test_real_weights_know_real_photos(test_data: Path) -> None:
    network = extractor("MobileNetV2", str(test_data / "weights" / "mobilenet_v2_224_notop.weights.h5"))
    photos = sorted((test_data / "flickr8k-mini" / "images").glob("*.jpg"))[:4]
    features_NxPxC = network.features_of([picture_bytes(photo) for photo in photos])
    assert features_NxPxC.shape == (4, 49, 1280)
    assert np.isfinite(features_NxPxC).all()
    assert 0.2 < features_NxPxC.astype(np.float32).mean() < 1.5
