"""The command line: captions for any picture, and one line for whatever goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from repository import changed, environment, run


@pytest.fixture(scope="session")
def photo(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the dataset's pictures in a format of its own."""
    picture = next((repo / "data/prepared/pictures/val").iterdir())
    path = tmp_path_factory.mktemp("photos") / "my photo.webp"
    Image.open(picture).resize((200, 130)).save(path, lossless=True)
    return path


def test_a_caption_a_line_and_a_figure(repo: Path, photo: Path) -> None:
    (caption, figure) = run(repo, "captioner", "caption", str(photo), "--figure").splitlines()
    assert len(caption.split()) >= 1
    assert figure == "attention: my photo.attention.png"
    Image.open(repo / "my photo.attention.png").verify()


def test_several_captions_of_several_photos(repo: Path, photo: Path) -> None:
    first = run(repo, "captioner", "caption", str(photo), str(photo), "-n", "3")
    lines = first.splitlines()
    assert [line for line in lines if line.endswith(":")] == [f"{photo}:"] * 2
    assert len(lines) == 8
    assert first == run(repo, "captioner", "caption", str(photo), str(photo), "-n", "3")


@pytest.mark.parametrize("kind", ["missing", "text", "folder", "empty", "half", "spoilt"])
def test_what_is_no_picture_is_one_line(repo: Path, photo: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "spoilt":  # Pillow reads over it, tensorflow does not
        Image.open(photo).save(path)
        content = path.read_bytes()
        path.write_bytes(content[:649] + b"\xff" + content[650:])
    elif kind != "missing":
        path.write_bytes({"text": b"not a picture", "empty": b"", "half": photo.read_bytes()[:300]}[kind])
    told = run(repo, "captioner", "caption", str(path), status=1)
    assert told.startswith("error: ")
    assert str(path) in told
    assert told.count("\n") == 1


def test_a_folder_without_a_model_says_what_to_do(repo: Path, photo: Path, tmp_path: Path) -> None:
    assert "params.yaml" in run(tmp_path, "captioner", "caption", str(photo), status=1)
    (tmp_path / "params.yaml").write_text((repo / "params.yaml").read_text())
    assert "dvc repro" in run(tmp_path, "captioner", "caption", str(photo), status=1)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['captioner', '--help']\nfrom captioner.cli import main\ntry: main()\n"
    code += "except SystemExit: print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("tensorflow", "keras", "jax", "mlflow", "numpy", "dvc", "hydra", "pydantic"):
        assert f"'{heavy}'" not in done.stdout


@pytest.mark.parametrize("stage", ["prepare", "tokenize_adapt", "train", "sample", "evaluate"])
def test_a_wrong_parameter_stops_a_stage_in_one_line(repo: Path, stage: str) -> None:
    with changed(repo / "params.yaml", "beam_size: 2", "beam_size: 0"):
        command = [sys.executable, "-m", f"captioner.stages.{stage}"]
        done = subprocess.run(
            command, cwd=repo, env=environment() | {"PYTHONPATH": "src"}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    told = "params.yaml: decode.beam_size is 0; input should be greater than or equal to 1"
    assert done.stderr == f"error: {told}\n"
