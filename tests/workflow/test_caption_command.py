"""The command `captioner caption`, and errors of one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.repository import STAGES, changed, environment, run
from PIL import Image


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
