"""The command `captioner caption`, and errors of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import STAGES, changed, environment, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.commands import figure_names


@pytest.fixture(scope="session")
def image_file(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of the dataset, resized and in a format that the dataset does not use."""
    original = next((repo / "data/prepared/images/val").iterdir())
    path = tmp_path_factory.mktemp("images") / "my photo.webp"
    Image.open(original).resize((200, 130)).save(path, lossless=True)
    return path


def test_caption_and_attention_figure(repo: Path, image_file: Path) -> None:
    (caption, figure) = run(repo, "captioner", "caption", str(image_file), "--figure").splitlines()
    assert len(caption.split()) >= 1
    assert figure == "attention: my photo.attention.png"
    Image.open(repo / "my photo.attention.png").verify()


def test_figures_of_images_with_one_name_are_different_files(repo: Path, image_file: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a/x.png", tmp_path / "b/x.png"]
    for file, turns in zip(files, (0, 1), strict=True):
        file.parent.mkdir()
        Image.open(image_file).rotate(90 * turns).save(file)
    printed = run(repo, "captioner", "caption", *map(str, files), "--figure").splitlines()
    names = ["a-x.attention.png", "b-x.attention.png"]
    assert [line for line in printed if line.startswith("attention: ")] == [f"attention: {name}" for name in names]
    first, second = ((repo / name).read_bytes() for name in names)
    assert first != second


# By files: the names of their figures.
FIGURE_NAMES: dict[tuple[str, ...], list[str]] = {
    ("a/x.png", "b/y.png"): ["x", "y"],
    ("a/x.png", "b/x.png", "b/y.png"): ["a-x", "b-x", "y"],
    ("a/1/x.png", "b/1/x.png"): ["a-1-x", "b-1-x"],
    ("a/x.png", "a/x.jpg"): ["x.png", "x.jpg"],
    ("a/x.png", "a/x.jpg", "b/x.png"): ["a-x.png", "x.jpg", "b-x"],
    ("a/x.png", "a/../a/x.png"): ["x", "x"],
    ("top/a/x.png", "top/b/x.png", "a-x.png"): ["top-a-x", "b-x", "a-x"],
}


@pytest.mark.parametrize("files", FIGURE_NAMES)
def test_name_of_a_figure(files: tuple[str, ...]) -> None:
    assert figure_names([Path(file) for file in files]) == FIGURE_NAMES[files]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a-b", "b-x", "x"]), min_size=1, max_size=4), min_size=1))
def test_different_images_have_figures_of_different_names(paths: list[list[str]]) -> None:
    files = [Path(*parts).with_suffix(suffix) for parts in paths for suffix in (".png", ".jpg")]
    assert len(set(figure_names(files))) == len(set(files))


def test_several_captions_of_several_images_are_reproducible(repo: Path, image_file: Path) -> None:
    first = run(repo, "captioner", "caption", str(image_file), str(image_file), "-n", "3")
    lines = first.splitlines()
    assert [line for line in lines if line.endswith(":")] == [f"{image_file}:"] * 2
    assert len(lines) == 8
    assert first == run(repo, "captioner", "caption", str(image_file), str(image_file), "-n", "3")


@pytest.mark.parametrize("kind", ["missing", "text", "folder", "empty", "cut", "damaged"])
def test_unreadable_image_is_one_line(repo: Path, image_file: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "damaged":  # in a place that Pillow ignores and tensorflow rejects
        Image.open(image_file).save(path)
        content = path.read_bytes()
        path.write_bytes(content[:649] + b"\xff" + content[650:])
    elif kind != "missing":
        path.write_bytes({"text": b"not an image", "empty": b"", "cut": image_file.read_bytes()[:300]}[kind])
    printed = run(repo, "captioner", "caption", str(path), status=1)
    assert printed.startswith("error: ")
    assert str(path) in printed
    assert printed.count("\n") == 1


def test_missing_params_and_missing_model_are_errors_with_a_hint(repo: Path, image_file: Path, tmp_path: Path) -> None:
    assert "params.yaml" in run(tmp_path, "captioner", "caption", str(image_file), status=1)
    (tmp_path / "params.yaml").write_text((repo / "params.yaml").read_text())
    assert "dvc repro" in run(tmp_path, "captioner", "caption", str(image_file), status=1)


def swap_words(lines: list[str]) -> list[str]:
    """Return a vocabulary with the same words in another order."""
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["caption", "sample"])
def test_model_refuses_another_cnn_and_another_vocabulary(repo: Path, image_file: Path, command: str) -> None:
    commands = {
        "caption": ("captioner", "caption", str(image_file)),
        "sample": ("python", "-m", "captioner.stages.sample"),
    }
    vocabulary, cnn = repo / "data/tokens/vocabulary.txt", repo / "data/prepared/features/extractor.json"
    lines = vocabulary.read_text().splitlines(keepends=True)
    with changed(vocabulary, "".join(lines), "".join(swap_words(lines))):
        printed = run(repo, *commands[command], status=1, PYTHONPATH="src")
    assert "error: the vocabulary is " in printed
    assert "run `dvc repro`" in printed
    untrained, trained = ("weights: null", "weights: builtin"), json.loads(cnn.read_text())["weights_hash"]
    file, new, old = (repo / "params.yaml", *untrained) if command == "caption" else (cnn, "0" * 64, trained)
    with changed(file, old, new):
        printed = run(repo, *commands[command], status=1, PYTHONPATH="src")
    (line,) = [line for line in printed.splitlines() if line]
    assert line.startswith("error: the CNN is shapes_cnn ")
    assert f"trained with shapes_cnn {trained[:12]}: params.yaml has changed since; run `dvc repro`" in line


@pytest.mark.slow
def test_model_without_the_hash_of_its_cnn_is_an_error_of_one_line(repo: Path, image_file: Path) -> None:
    with changed(repo / "models/captioner/config.json", '"extractor"', '"older"'):
        printed = run(repo, "captioner", "caption", str(image_file), status=1)
    assert "run `dvc repro -f train`" in printed
    assert printed.count("\n") == 1


def test_help_imports_no_large_package() -> None:
    code = "import sys; sys.argv = ['captioner', '--help']\nfrom captioner.cli import main\ntry: main()\n"
    code += "except SystemExit: print(sorted({m.split('.')[0] for m in sys.modules}))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for package in ("tensorflow", "keras", "jax", "mlflow", "numpy", "dvc", "hydra", "pydantic"):
        assert f"'{package}'" not in process.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_invalid_parameter_stops_a_stage_with_one_line(repo: Path, stage: str) -> None:
    with changed(repo / "params.yaml", "beam_size: 2", "beam_size: 0"):
        command = [sys.executable, "-m", f"captioner.stages.{stage.replace('-', '_')}"]
        process = subprocess.run(
            command, cwd=repo, env=environment() | {"PYTHONPATH": "src"}, capture_output=True, text=True, check=False
        )
    assert process.returncode == 1
    message = "params.yaml: decode.beam_size is 0; input should be greater than or equal to 1"
    assert process.stderr == f"error: {message}\n"
