"""prepare on each kind of dataset: drawn scenes, a user's folder, and a coco_captions folder written by TFDS."""

import csv
import hashlib
import json
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

from captioner import config
from captioner.config import UserError
from captioner.data import builders
from captioner.data.extractors import Extractor
from captioner.data.grammar import captions_of
from captioner.data.painting import render
from captioner.data.pictures import picture_bytes
from captioner.data.prepare import prepare
from captioner.data.scenes import draw_scene
from captioner.data.tables import picture_path, read_captions, read_features

FEW = {"train": 7, "restval": 3, "val": 4, "test": 2}


with skip_registration():  # TFDS lets nobody else have the name

    class HandfulOfCoco(coco_captions.CocoCaptions):
        """TFDS's own builder class, over a handful of drawn pictures instead of 37 GiB."""

        name = "coco_captions"

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            ids = iter(range(391895, 400000))
            return {split: self._generate_examples([next(ids) for _ in range(n)]) for split, n in FEW.items()}

        def _generate_examples(self, ids: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
            for image_id in ids:
                scene = draw_scene(9, image_id)
                box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
                yield (
                    image_id,
                    {
                        "image": np.asarray(Image.fromarray(render(scene)).resize((120, 80))),
                        "image/filename": f"COCO_val2014_{image_id:012d}.jpg",
                        "image/id": image_id,
                        "objects": [{"id": 1, "area": 4, "bbox": box, "label": 3, "is_crowd": False}],
                        "captions": [
                            {"id": n, "text": text} for n, text in enumerate(captions_of(scene)[: 1 + image_id % 5])
                        ],
                    },
                )


def settings(name: str, folder: Path, cnn: config.Extractor | None = None, **changes: Any) -> config.Data:
    """Parameters as they are after the schema has checked them; what DVC watches plays no part here."""
    cnn = cnn or config.Extractor(name="shapes_cnn", weights="builtin", batch_size=4, watch="")
    values = {"name": name, "data_dir": str(folder / "tfds"), "path": None, "seed": 1, "limit": None, "watch": ""}
    return config.Data.model_construct(**(values | {"on_bad_image": "error"} | changes), extractor=cnn)


def run(data: config.Data, out: Path) -> Path:
    prepare(data, out, out, out / "kept")
    return out


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in FEW.items():
        monkeypatch.setitem(builders.SHAPES_SPLITS, split, count)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write_folder(folder: Path) -> Path:
    """Pictures in many formats with a Karpathy-style JSON, without a test split."""
    (folder / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 8
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "plain.jpg": ("RGB", {}),
        "turned.jpg": ("RGB", {"exif": exif}),
        "grey.jpg": ("L", {}),
        "print.jpg": ("CMYK", {}),
        "palette.png": ("P", {}),
        "web.webp": ("RGB", {}),
    }
    images = []
    for number, (name, (mode, options)) in enumerate(kinds.items()):
        picture = Image.fromarray(render(draw_scene(5, number))).resize((90, 60))
        picture.convert(mode).save(folder / "images" / name, **options)
        split = ("train", "restval", "val")[number % 3]
        sentences = [{"raw": f"Caption {n} of {name}.", "sentid": n} for n in range(1 + number)]
        images.append({"filename": name, "imgid": number, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": images}))
    return folder


def test_the_features_of_a_dataset_are_those_of_coco_captions(tmp_path: Path) -> None:
    coco = tfds.builder("coco_captions", data_dir=tmp_path)
    for builder in (
        builders.Shapes(data_dir=tmp_path, config=builders.ShapesConfig.of_seed(1)),
        builders.Karpathy(data_dir=tmp_path, config=builders.KarpathyConfig(name="none")),
    ):
        assert repr(builder.info.features) == repr(coco.info.features)
        assert builder.info.features.get_serialized_info() == coco.info.features.get_serialized_info()


def test_shapes_has_karpathys_splits_and_enough_pictures() -> None:
    assert list(builders.SHAPES_SPLITS) == ["train", "restval", "val", "test"]
    assert builders.SHAPES_SPLITS["train"] >= 2000


@pytest.mark.usefixtures("few_shapes", "offline")
def test_shapes_end_to_end(tmp_path: Path) -> None:
    out = run(settings("shapes", tmp_path), tmp_path / "out")
    table = read_captions(out / "captions", "train")
    assert table.image_ids == list(range(10)), "train, then restval, in the order they were drawn"
    assert table.captions == [captions_of(draw_scene(1, index)) for index in range(10)]
    assert [len(read_captions(out / "captions", split)) for split in ("train", "val", "test")] == [10, 4, 2]
    features_NxPxC = read_features(out / "features", "train")
    assert features_NxPxC.shape == (10, 36, 96)
    assert features_NxPxC.dtype == np.float16
    path = picture_path(out / "pictures", "train", 8)
    assert path
    assert np.array_equal(np.asarray(Image.open(path)), render(draw_scene(1, 8)))
    assert Image.open(out / "figures" / "samples.png").size[0] > 600
    assert not list(out.rglob("*.partial"))


@pytest.mark.usefixtures("few_shapes")
def test_the_same_seed_gives_the_same_bytes_and_a_limit_the_first_rows(tmp_path: Path) -> None:
    whole = run(settings("shapes", tmp_path), tmp_path / "a")
    again = run(settings("shapes", tmp_path / "elsewhere"), tmp_path / "b")
    assert bytes_of(whole) == bytes_of(again)
    other = run(settings("shapes", tmp_path, seed=2), tmp_path / "c")
    assert bytes_of(whole)["features/val.npy"] != bytes_of(other)["features/val.npy"]
    part = run(settings("shapes", tmp_path, limit=3), tmp_path / "c")
    for split, count in (("train", 3), ("val", 3), ("test", 2)):
        rows_NxPxC = read_features(part / "features", split)
        assert len(rows_NxPxC) == len(read_captions(part / "captions", split)) == count
        np.testing.assert_allclose(rows_NxPxC, read_features(whole / "features", split)[:count], rtol=2e-3, atol=2e-3)


@pytest.mark.usefixtures("offline")
def test_a_users_folder_end_to_end(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    data = settings("karpathy", tmp_path, path=str(folder))
    out = run(data, tmp_path / "out")
    table = read_captions(out / "captions", "train")
    assert table.file_names == ["plain.jpg", "print.jpg", "turned.jpg", "palette.png"], "restval behind train"
    assert table.captions[1][2] == "Caption 2 of print.jpg."
    assert [len(texts) for texts in table.captions] == [1, 4, 2, 5]
    assert not (out / "features" / "test.npy").exists(), "the folder has no test split"
    alone_NxPxC = Extractor(data.extractor).features_of(
        [picture_bytes(folder / "images" / n) for n in table.file_names]
    )
    np.testing.assert_array_equal(alone_NxPxC, read_features(out / "features", "train"))


def test_a_changed_picture_is_never_taken_from_what_was_prepared(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    data = settings("karpathy", tmp_path, path=str(folder))
    before = bytes_of(run(data, tmp_path / "out"))
    Image.new("RGB", (90, 60), "red").save(folder / "images" / "web.webp")
    after = bytes_of(run(data, tmp_path / "out"))
    assert before["features/val.npy"] != after["features/val.npy"]
    assert before["features/train.npy"] == after["features/train.npy"]


@pytest.mark.parametrize("damage", ["half of it", "a marker in the middle"])
def test_a_damaged_picture_leaves_nothing_behind(damage: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    whole = (folder / "images" / "plain.jpg").read_bytes()
    rest = b"" if damage == "half of it" else b"\xff" + whole[650:]  # over which Pillow reads, and tensorflow does not
    (folder / "images" / "plain.jpg").write_bytes(whole[:649] + rest)
    data = settings("karpathy", tmp_path, path=str(folder))
    with pytest.raises(UserError, match=r"plain.jpg is damaged"):
        run(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not bytes_of(tmp_path / "tfds")
    assert not any((tmp_path / "tfds" / "karpathy").iterdir())


def test_bad_pictures_are_skipped_listed_and_not_mistaken_for_others(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    whole = (folder / "images" / "plain.jpg").read_bytes()
    (folder / "images" / "plain.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "images" / "palette.png").unlink()
    data = settings("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    out = run(data, tmp_path / "out")
    assert read_captions(out / "captions", "train").file_names == ["print.jpg", "turned.jpg"]
    assert len(read_features(out / "features", "train")) == 2
    header, *lines = (out / "skipped.csv").read_text().splitlines()
    assert header == "file_name,split,reason"
    assert sorted(line.split(",")[:2] for line in lines) == [["palette.png", "restval"], ["plain.jpg", "train"]]
    assert "it is damaged" in "".join(lines)
    assert "it cannot be read" in "".join(lines)
    assert str(tmp_path) not in "".join(lines), "the list is the same on every machine"
    again = run(data, tmp_path / "again")  # the dataset that is there says what it lacks
    assert bytes_of(out) == bytes_of(again)
    (folder / "images" / "plain.jpg").write_bytes(whole)
    assert len(read_features(run(data, tmp_path / "mended") / "features", "train")) == 3


def test_the_list_of_the_skipped_says_what_is_there_now(tmp_path: Path) -> None:
    """With the dataset made before, when the picture was missing, it is as without; odd names do not change it."""
    folder = write_folder(tmp_path / "mine")
    tree = json.loads((folder / "dataset.json").read_text())
    tree["images"][0]["filename"] = name = "bad\u202fone\n.jpg"
    (folder / "dataset.json").write_text(json.dumps(tree))
    data = settings("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    reasons = []
    for make in (lambda: None, (folder / "images" / name).touch):
        make()
        with (run(data, tmp_path / "out") / "skipped.csv").open(newline="") as file:
            _, row = csv.reader(file)
        assert row[0] == name
        reasons.append(row[2])
    assert "it cannot be read" in reasons[0]
    assert "it is no picture" in reasons[1]


def test_skipping_leaves_no_split_empty(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    for name in ("grey.jpg", "web.webp"):
        (folder / "images" / name).write_text("hello")
    data = settings("karpathy", tmp_path, path=str(folder), on_bad_image="skip")
    with pytest.raises(UserError, match="no picture of the split val can be read"):
        run(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not bytes_of(tmp_path / "tfds")


@pytest.mark.usefixtures("offline")
def test_reads_a_coco_captions_folder_with_another_network(tmp_path: Path) -> None:
    HandfulOfCoco(data_dir=tmp_path / "tfds", config="2014").download_and_prepare()
    cnn = config.Extractor(name="MobileNetV2", weights=None, batch_size=4, watch="")
    out = run(settings("coco", tmp_path, cnn), tmp_path / "out")
    table = read_captions(out / "captions", "train")
    assert sorted(table.image_ids) == list(range(391895, 391905)), "train and restval"
    assert sorted(table.image_ids[:7]) == list(range(391895, 391902)), "train first"
    for image_id, name, texts in zip(table.image_ids, table.file_names, table.captions, strict=True):
        assert name == f"COCO_val2014_{image_id:012d}.jpg"
        assert texts == captions_of(draw_scene(9, image_id))[: 1 + image_id % 5]
    assert read_features(out / "features", "train").shape == (10, 49, 1280)
    assert read_features(out / "features", "test").shape == (2, 49, 1280)
    path = picture_path(out / "pictures", "val", read_captions(out / "captions", "val").image_ids[0])
    assert path
    assert Image.open(path).size == (224, 224)


@pytest.mark.usefixtures("offline")
def test_coco_that_cannot_be_downloaded_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten tries of TFDS take minutes.
    monkeypatch.setattr("tensorflow_datasets.core.download.downloader.MAX_RETRIES", 1)
    with pytest.raises(UserError, match=r"coco_captions is not in .* set data.data_dir") as caught:
        run(settings("coco", tmp_path), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_network_is_checked_before_the_dataset(tmp_path: Path) -> None:
    cnn = config.Extractor(name="MobilNet", weights=None, batch_size=4, watch="")
    with pytest.raises(UserError, match="did you mean MobileNet"):
        run(settings("shapes", tmp_path, cnn), tmp_path / "out")
    assert not (tmp_path / "tfds").exists()
