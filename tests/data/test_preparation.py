"""``prepare`` with each kind of dataset: drawn scenes, a folder in Karpathy's format, and ``coco_captions``."""

import csv
import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.registered import skip_registration
from tensorflow_datasets.object_detection import coco_captions

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.data.captions_table import CaptionsTable, read_captions_table, read_dataset_name
from captioner.data.config import DataConfig, ExtractorConfig
from captioner.data.datasets.karpathy import Karpathy, KarpathyConfig
from captioner.data.datasets.shapes.builder import SPLIT_SIZES, Shapes, ShapesConfig
from captioner.data.datasets.shapes.render import render_scene
from captioner.data.datasets.shapes.scene import sample_scene
from captioner.data.datasets.shapes.templates import caption_scene
from captioner.data.extractors import Extractor
from captioner.data.features import read_extractor_identity, read_features
from captioner.data.images import image_path, read_image
from captioner.data.preparation import prepare_dataset

SMALL_SPLIT_SIZES = {"train": 7, "restval": 3, "val": 4, "test": 2}


with skip_registration():  # TFDS has already registered a class of this name

    class SmallCocoCaptions(coco_captions.CocoCaptions):
        """TFDS's own builder class with a few drawn images instead of 37 GiB of photos."""

        name = "coco_captions"

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            ids = iter(range(391895, 400000))
            return {
                split: self._generate_examples([next(ids) for _ in range(size)])
                for split, size in SMALL_SPLIT_SIZES.items()
            }

        def _generate_examples(self, ids: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
            for image_id in ids:
                scene = sample_scene(9, image_id)
                captions = caption_scene(scene)[: 1 + image_id % 5]
                box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
                yield (
                    image_id,
                    {
                        "image": np.asarray(Image.fromarray(render_scene(scene)).resize((120, 80))),
                        "image/filename": f"COCO_val2014_{image_id:012d}.jpg",
                        "image/id": image_id,
                        "objects": [{"id": 1, "area": 4, "bbox": box, "label": 3, "is_crowd": False}],
                        "captions": [{"id": n, "text": text} for n, text in enumerate(captions)],
                    },
                )


def make_config(name: str, folder: Path, extractor: ExtractorConfig | None = None, **changes: Any) -> DataConfig:
    """Return an unchecked configuration; the check would compare the paths that DVC watches."""
    extractor = extractor or ExtractorConfig(name="shapes_cnn", weights="builtin", batch_size=4, watch="")
    values = {"name": name, "data_dir": str(folder / "tfds"), "path": None, "seed": 1, "limit": None, "watch": ""}
    return DataConfig.model_construct(**(values | {"on_bad_image": "error"} | changes), extractor=extractor)


def prepare(data: DataConfig, folder: Path) -> Workspace:
    workspace = Workspace(folder)
    prepare_dataset(data, workspace, folder / "unfinished")
    return workspace


def read_table(workspace: Workspace, split: str) -> CaptionsTable:
    return read_captions_table(workspace.captions, split)


def hash_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "unfinished" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def small_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, size in SMALL_SPLIT_SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write_folder(folder: Path, **keys: Any) -> Path:
    """Write images in many formats with a JSON in Karpathy's format, without a test split, with additional ``keys``."""
    (folder / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 8
    formats: dict[str, tuple[str, dict[str, Any]]] = {
        "plain.jpg": ("RGB", {}),
        "rotated.jpg": ("RGB", {"exif": exif}),
        "grey.jpg": ("L", {}),
        "print.jpg": ("CMYK", {}),
        "palette.png": ("P", {}),
        "web.webp": ("RGB", {}),
    }
    entries = []
    for number, (name, (mode, options)) in enumerate(formats.items()):
        image = Image.fromarray(render_scene(sample_scene(5, number))).resize((90, 60))
        image.convert(mode).save(folder / "images" / name, **options)
        split = ("train", "restval", "val")[number % 3]
        sentences = [{"raw": f"Caption {n} of {name}.", "sentid": n} for n in range(1 + number)]
        entries.append({"filename": name, "imgid": number, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": entries, **keys}))
    return folder


def test_datasets_have_the_features_of_coco_captions(tmp_path: Path) -> None:
    coco = tfds.builder("coco_captions", data_dir=tmp_path)
    for builder in (
        Shapes(data_dir=tmp_path, config=ShapesConfig.from_seed(1)),
        Karpathy(data_dir=tmp_path, config=KarpathyConfig(name="none")),
    ):
        assert repr(builder.info.features) == repr(coco.info.features)
        assert builder.info.features.get_serialized_info() == coco.info.features.get_serialized_info()


def test_shapes_has_karpathys_splits_and_enough_images() -> None:
    assert list(SPLIT_SIZES) == ["train", "restval", "val", "test"]
    assert SPLIT_SIZES["train"] >= 2000


@pytest.mark.usefixtures("small_shapes", "offline")
def test_prepare_shapes(tmp_path: Path) -> None:
    workspace = prepare(make_config("shapes", tmp_path), tmp_path / "out")
    table = read_table(workspace, "train")
    assert table.image_ids == list(range(10)), "train, then restval, in the order of generation"
    assert table.captions == [caption_scene(sample_scene(1, index)) for index in range(10)]
    assert [len(read_table(workspace, split)) for split in ("train", "val", "test")] == [10, 4, 2]
    features_NxPxC = read_features(workspace.features, "train")
    assert features_NxPxC.shape == (10, 36, 96)
    assert features_NxPxC.dtype == np.float16
    path = image_path(workspace.images, "train", 8)
    assert path
    assert np.array_equal(np.asarray(Image.open(path)), render_scene(sample_scene(1, 8)))
    assert Image.open(workspace.figures / "samples.png").size[0] > 600
    assert not list(workspace.root.rglob("*.partial"))
    assert read_dataset_name(workspace.captions) == "shapes"


@pytest.mark.usefixtures("small_shapes")
def test_equal_seeds_give_equal_bytes_and_limit_selects_the_first_rows(tmp_path: Path) -> None:
    complete = prepare(make_config("shapes", tmp_path), tmp_path / "a")
    repeated = prepare(make_config("shapes", tmp_path / "elsewhere"), tmp_path / "b")
    assert hash_files(complete.root) == hash_files(repeated.root)
    other = prepare(make_config("shapes", tmp_path, seed=2), tmp_path / "c")
    assert hash_files(complete.features)["val.npy"] != hash_files(other.features)["val.npy"]
    limited = prepare(make_config("shapes", tmp_path, limit=3), tmp_path / "c")
    for split, count in (("train", 3), ("val", 3), ("test", 2)):
        rows_NxPxC = read_features(limited.features, split)
        assert len(rows_NxPxC) == len(read_table(limited, split)) == count
        expected_NxPxC = read_features(complete.features, split)[:count]
        np.testing.assert_allclose(rows_NxPxC, expected_NxPxC, rtol=2e-3, atol=2e-3)


@pytest.mark.usefixtures("offline")
def test_prepare_karpathy_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    data = make_config("karpathy", tmp_path, path=str(folder))
    workspace = prepare(data, tmp_path / "out")
    table = read_table(workspace, "train")
    assert table.file_names == ["plain.jpg", "print.jpg", "rotated.jpg", "palette.png"], "train, then restval"
    assert table.captions[1][2] == "Caption 2 of print.jpg."
    assert [len(texts) for texts in table.captions] == [1, 4, 2, 5]
    assert not (workspace.features / "test.npy").exists(), "the folder has no test split"
    images = [read_image(folder / "images" / name) for name in table.file_names]
    expected_NxPxC = Extractor(data.extractor).extract_from_bytes(images)
    np.testing.assert_array_equal(expected_NxPxC, read_features(workspace.features, "train"))


@pytest.mark.usefixtures("small_shapes")
def test_finished_features_are_neither_computed_nor_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC deletes the outs before the second run. Its cache can hold the arrays, read-only."""
    first = prepare(make_config("shapes", tmp_path), tmp_path / "out")
    expected = {split: hash_files(getattr(first, split)) for split in ("captions", "features", "images")}
    arrays = list((tmp_path / "out/unfinished").rglob("*.npy"))
    assert sorted(path.stat().st_ino for path in arrays) == sorted(
        path.stat().st_ino for path in first.features.glob("*.npy")
    ), "links need no space"
    times = [path.stat().st_mtime_ns for path in arrays]
    for path in arrays:
        path.chmod(0o444)
    shutil.rmtree(tmp_path / "out/data")
    batches: list[int] = []
    extract = Extractor.extract

    def record(extractor: Extractor, squares_BxSxSx3: Any) -> np.ndarray:
        batches.append(len(squares_BxSxSx3))
        return extract(extractor, squares_BxSxSx3)

    monkeypatch.setattr(Extractor, "extract", record)
    second = prepare(make_config("shapes", tmp_path), tmp_path / "out")
    assert batches == []
    assert [path.stat().st_mtime_ns for path in arrays] == times
    assert {split: hash_files(getattr(second, split)) for split in expected} == expected
    prepare(make_config("shapes", tmp_path), tmp_path / "another")
    assert sum(batches) == sum(SMALL_SPLIT_SIZES.values()), "without the work of an earlier run, all are computed"


@pytest.mark.usefixtures("small_shapes")
def test_features_know_their_cnn(tmp_path: Path) -> None:
    data = make_config("shapes", tmp_path)
    workspace = prepare(data, tmp_path / "out")
    assert read_extractor_identity(workspace.features) == Extractor(data.extractor).identity
    assert read_extractor_identity(workspace.features)["name"] == "shapes_cnn"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"dataset": " my photos\n"}, "my photos"),
        ({}, "karpathy"),
        ({"dataset": " "}, "karpathy"),
        ({"dataset": 3}, "karpathy"),
    ],
)
def test_a_folder_has_the_name_in_its_json(keys: dict[str, Any], expected: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", **keys)
    workspace = prepare(make_config("karpathy", tmp_path, path=str(folder)), tmp_path / "out")
    assert read_dataset_name(workspace.captions) == expected


def test_changed_image_is_prepared_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    data = make_config("karpathy", tmp_path, path=str(folder))
    before = hash_files(prepare(data, tmp_path / "out").features)
    Image.new("RGB", (90, 60), "red").save(folder / "images" / "web.webp")
    after = hash_files(prepare(data, tmp_path / "out").features)
    assert before["val.npy"] != after["val.npy"]
    assert before["train.npy"] == after["train.npy"]


@pytest.mark.parametrize("damage", ["truncated", "marker in the middle"])
def test_damaged_image_is_an_error_that_leaves_no_files(damage: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    content = (folder / "images" / "plain.jpg").read_bytes()
    # Pillow ignores the marker; tensorflow does not.
    rest = b"" if damage == "truncated" else b"\xff" + content[650:]
    (folder / "images" / "plain.jpg").write_bytes(content[:649] + rest)
    data = make_config("karpathy", tmp_path, path=str(folder))
    with pytest.raises(UserError, match=r"plain.jpg is damaged"):
        prepare(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not hash_files(tmp_path / "tfds")
    assert not any((tmp_path / "tfds" / "karpathy").iterdir())


def test_bad_images_are_skipped_and_listed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    content = (folder / "images" / "plain.jpg").read_bytes()
    (folder / "images" / "plain.jpg").write_bytes(content[: len(content) // 2])
    (folder / "images" / "palette.png").unlink()
    data = make_config("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    workspace = prepare(data, tmp_path / "out")
    assert read_table(workspace, "train").file_names == ["print.jpg", "rotated.jpg"]
    assert len(read_features(workspace.features, "train")) == 2
    header, *lines = workspace.skipped.read_text().splitlines()
    assert header == "file_name,split,reason"
    assert sorted(line.split(",")[:2] for line in lines) == [["palette.png", "restval"], ["plain.jpg", "train"]]
    assert "it is damaged" in "".join(lines)
    assert "it cannot be read" in "".join(lines)
    assert str(tmp_path) not in "".join(lines), "the list is the same on every machine"
    repeated = prepare(data, tmp_path / "repeated")  # an existing dataset has the list in its metadata
    assert hash_files(workspace.root) == hash_files(repeated.root)
    (folder / "images" / "plain.jpg").write_bytes(content)
    assert len(read_features(prepare(data, tmp_path / "repaired").features, "train")) == 3


def test_skipped_images_are_listed_with_their_present_reason(tmp_path: Path) -> None:
    """An existing dataset from the time when the image was missing is not used for an image that is now unreadable."""
    folder = write_folder(tmp_path / "mine")
    tree = json.loads((folder / "dataset.json").read_text())
    tree["images"][0]["filename"] = name = "bad\u202fone\n.jpg"
    (folder / "dataset.json").write_text(json.dumps(tree))
    data = make_config("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    reasons = []
    for prepare_file in (lambda: None, (folder / "images" / name).touch):
        prepare_file()
        with prepare(data, tmp_path / "out").skipped.open(newline="") as file:
            _, row = csv.reader(file)
        assert row[0] == name
        reasons.append(row[2])
    assert "it cannot be read" in reasons[0]
    assert "it is not an image" in reasons[1]


def test_split_without_readable_images_is_an_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    for name in ("grey.jpg", "web.webp"):
        (folder / "images" / name).write_text("hello")
    data = make_config("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    with pytest.raises(UserError, match="no image of the split val can be read"):
        prepare(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not hash_files(tmp_path / "tfds")


@pytest.mark.usefixtures("offline")
def test_prepare_existing_coco_captions_with_another_network(tmp_path: Path) -> None:
    SmallCocoCaptions(data_dir=tmp_path / "tfds", config="2014").download_and_prepare()
    extractor = ExtractorConfig(name="MobileNetV2", weights=None, batch_size=4, watch="")
    workspace = prepare(make_config("coco", tmp_path, extractor), tmp_path / "out")
    assert read_dataset_name(workspace.captions) == "coco_captions"
    table = read_table(workspace, "train")
    assert sorted(table.image_ids) == list(range(391895, 391905)), "train and restval"
    assert sorted(table.image_ids[:7]) == list(range(391895, 391902)), "train first"
    for image_id, name, texts in zip(table.image_ids, table.file_names, table.captions, strict=True):
        assert name == f"COCO_val2014_{image_id:012d}.jpg"
        assert texts == caption_scene(sample_scene(9, image_id))[: 1 + image_id % 5]
    assert read_features(workspace.features, "train").shape == (10, 49, 1280)
    assert read_features(workspace.features, "test").shape == (2, 49, 1280)
    path = image_path(workspace.images, "val", read_table(workspace, "val").image_ids[0])
    assert path
    assert Image.open(path).size == (224, 224)


@pytest.mark.usefixtures("offline")
def test_failed_coco_download_gives_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # TFDS's default of ten attempts takes minutes.
    monkeypatch.setattr("tensorflow_datasets.core.download.downloader.MAX_RETRIES", 1)
    with pytest.raises(UserError, match=r"coco_captions is not in .* set data.data_dir") as caught:
        prepare(make_config("coco", tmp_path), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_network_is_checked_before_the_dataset_is_written(tmp_path: Path) -> None:
    extractor = ExtractorConfig(name="MobilNet", weights=None, batch_size=4, watch="")
    with pytest.raises(UserError, match="did you mean MobileNet"):
        prepare(make_config("shapes", tmp_path, extractor), tmp_path / "out")
    assert not (tmp_path / "tfds").exists()
