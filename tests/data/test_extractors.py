"""Frozen CNNs, their weights and their preprocessing."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from captioner.common.errors import UserError
from captioner.data.config import ExtractorConfig
from captioner.data.datasets.shapes.render import render_scene
from captioner.data.datasets.shapes.scene import COLOURS, Scene, sample_scene
from captioner.data.extractors import INPUT_SIDES, Extractor, available_networks
from captioner.data.images import encode_png, read_image
from captioner.data.shapes_cnn import BUILTIN_WEIGHTS, GRID


def encode_scene(scene: Scene) -> bytes:
    return encode_png(Image.fromarray(render_scene(scene)))


SCENES = [sample_scene(3, index) for index in range(40)]
IMAGES = [encode_scene(scene) for scene in SCENES]


def make_extractor(name: str, weights: str | None = None, batch_size: int = 16) -> Extractor:
    return Extractor(ExtractorConfig(name=name, weights=weights, batch_size=batch_size, watch=""))


@pytest.fixture(scope="module")
def shapes_extractor() -> Extractor:
    return make_extractor("shapes_cnn", "builtin")


def test_builtin_weights_are_small_and_fit(shapes_extractor: Extractor) -> None:
    assert BUILTIN_WEIGHTS.stat().st_size < 1e6
    assert shapes_extractor.positions == GRID**2
    features_NxPxC = shapes_extractor.extract_from_bytes(IMAGES)
    assert features_NxPxC.shape == (len(IMAGES), shapes_extractor.positions, shapes_extractor.channels)
    assert features_NxPxC.dtype == np.float16


@pytest.mark.parametrize(("name", "weights"), [("shapes_cnn", "builtin"), ("EfficientNetB0", None)])
def test_weights_hash_is_that_of_the_values(name: str, weights: str | None, tmp_path: Path) -> None:
    """Weights that were saved and loaded have the same hash; a CNN with other weights has another."""
    extractor = make_extractor(name, weights)
    extractor.write_weights(tmp_path / "cnn.weights.h5")
    loaded = make_extractor(name, str(tmp_path / "cnn.weights.h5"))
    assert loaded.identity == extractor.identity
    assert make_extractor(name, weights).weights_hash == extractor.weights_hash
    assert make_extractor("shapes_cnn").weights_hash != extractor.weights_hash


def test_features_do_not_depend_on_the_batch(shapes_extractor: Extractor) -> None:
    batched_NxPxC = shapes_extractor.extract_from_bytes(IMAGES)
    single_NxPxC = np.concatenate([shapes_extractor.extract_from_bytes([image]) for image in IMAGES[:5]])
    np.testing.assert_allclose(single_NxPxC, batched_NxPxC[:5], rtol=2e-3, atol=2e-3)


def test_strongest_features_are_at_objects(shapes_extractor: Extractor) -> None:
    """Attention can then rest on objects, whatever the background is."""
    for scene, features_PxC in zip(SCENES, shapes_extractor.extract_from_bytes(IMAGES).astype(np.float32), strict=True):
        y, x = divmod(int(features_PxC.sum(1).argmax()), GRID)
        distances = [np.hypot((x + 0.5) * 16 - obj.x, (y + 0.5) * 16 - obj.y) for obj in scene.objects]
        assert min(distances) < 20


def test_linear_probe_reads_colours(shapes_extractor: Extractor) -> None:
    """A linear fit on 200 scenes predicts 95 % of the colours in others."""
    scenes = [sample_scene(4, index) for index in range(300)]
    features_NxPxC = shapes_extractor.extract_from_bytes([encode_scene(scene) for scene in scenes])
    rows = [
        (features_PxC[int(obj.y) // 16 * GRID + int(obj.x) // 16], list(COLOURS).index(obj.colour))
        for scene, features_PxC in zip(scenes, features_NxPxC.astype(np.float64), strict=True)
        for obj in scene.objects
    ]
    cells_MxC, colours_M = np.array([cell for cell, _ in rows]), np.array([colour for _, colour in rows])
    ones_MxC = np.hstack([cells_MxC, np.ones((len(rows), 1))])
    split = len(rows) * 2 // 3
    weights_CxK, *_ = np.linalg.lstsq(ones_MxC[:split], np.eye(len(COLOURS))[colours_M[:split]], rcond=1e-6)
    assert ((ones_MxC[split:] @ weights_CxK).argmax(1) == colours_M[split:]).mean() > 0.95


def test_resized_image_is_the_input_of_the_cnn(shapes_extractor: Extractor) -> None:
    assert np.array_equal(shapes_extractor.resized_image(IMAGES[0]), render_scene(SCENES[0]))
    wide = encode_png(Image.new("RGB", (300, 20), (10, 200, 30)))
    assert (shapes_extractor.resized_image(wide) == (10, 200, 30)).all()
    assert shapes_extractor.resized_image(wide).shape == (96, 96, 3)


def test_every_network_has_the_preprocessing_of_its_own_module() -> None:
    networks = available_networks()
    assert len(networks) > 35
    assert set(INPUT_SIDES) <= set(networks)
    modules = {name: build.__module__.rpartition(".")[2] for name, build in networks.items()}
    assert modules["ResNet50"] != modules["ResNet50V2"]
    assert modules["MobileNetV2"] == "mobilenet_v2"


@pytest.mark.parametrize(
    ("name", "low", "high"), [("MobileNetV2", -1, 1), ("DenseNet121", -2.2, 2.7), ("VGG16", -123.68, 151.06)]
)
def test_each_network_gets_pixels_in_its_own_range(name: str, low: float, high: float) -> None:
    import tensorflow as tf

    inputs = []
    extractor = make_extractor(name)
    extractor._model = lambda pixels, training: inputs.append(pixels) or tf.zeros((1, 7, 7, extractor.channels))
    with tf.device("cpu"):
        for grey in (0.0, 255.0):
            extractor._forward(tf.fill((1, 224, 224, 3), grey))
    assert float(tf.reduce_min(inputs[0])) == pytest.approx(low, abs=0.1)
    assert float(tf.reduce_max(inputs[1])) == pytest.approx(high, abs=0.1)


def test_untrained_networks_are_equal() -> None:
    first, second = (make_extractor("shapes_cnn").extract_from_bytes(IMAGES[:2]) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("MobilNetV2", None, "did you mean MobileNetV2?"),
        ("inceptionresnetv2", None, "did you mean InceptionResNetV2?"),
        ("preprocess_input", None, "is not a known network"),
        ("shapes_cnn", "/nowhere.weights.h5", "there is no file /nowhere.weights.h5"),
        ("shapes_cnn", __file__, "does not fit shapes_cnn"),
        ("MobileNetV2", str(BUILTIN_WEIGHTS), "does not fit MobileNetV2"),
    ],
)
def test_unknown_networks_and_unsuitable_weights_give_an_error_of_one_line(
    name: str, weights: str | None, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        make_extractor(name, weights)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_do_not_fit(tmp_path: Path) -> None:
    narrow = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3), alpha=0.35)
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(UserError, match="does not fit MobileNetV2"):
        make_extractor("MobileNetV2", str(tmp_path / "narrow.weights.h5"))


def test_failed_download_gives_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("URL fetch failure on https://example.org: None -- unreachable\nmore")  # as keras does

    fail.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(UserError, match=r"ImageNet weights of MobileNetV2 could not be loaded.*allow the download"):
        make_extractor("MobileNetV2", "imagenet")


def test_imagenet_weights_give_plausible_features_of_photos(test_data: Path) -> None:
    extractor = make_extractor("MobileNetV2", str(test_data / "weights" / "mobilenet_v2_224_notop.weights.h5"))
    photos = sorted((test_data / "flickr8k-mini" / "images").glob("*.jpg"))[:4]
    features_NxPxC = extractor.extract_from_bytes([read_image(photo) for photo in photos])
    assert features_NxPxC.shape == (4, 49, 1280)
    assert np.isfinite(features_NxPxC).all()
    assert 0.2 < features_NxPxC.astype(np.float32).mean() < 1.5
