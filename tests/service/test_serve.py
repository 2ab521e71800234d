"""A run becomes the champion, and MLflow's own server answers with its captions."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from drawn import in_base64, jpeg_of_scans, picture, png_of
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from repository import changed, environment, run

pytestmark = pytest.mark.slow

JPEG = in_base64(picture("JPEG"))
HOSTILE: dict[str, Any] = {
    "no picture": [in_base64(b"GIF89 is not here")],
    "no base64": ["%%%"],
    "empty": [""],
    "cut off": [in_base64(picture("JPEG")[:300])],
    "rows missing": [in_base64(png_of(300, 300))],
    "a bomb": [in_base64(png_of(60_000, 60_000))],
    "too large": ["A" * 30_000_000],
    "too many": [JPEG] * 65,
    "none at all": [],
    "a path": ["/etc/ssl/openssl.cnf"],
    "a path out of the folder": ["../mlflow.db"],
    "an address": ["http://127.0.0.1/secret.png"],
    "PostScript": [in_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")],
    "a JPEG of 100,000 scans": [in_base64(jpeg_of_scans(100_000, (2_000, 2_000)))],
    "a number": [5],
    "null": [None],
    "one good, one bad": [JPEG, "%%%"],
}


def runs_of(repo: Path) -> list[Run]:
    """The better run first."""
    client = MlflowClient(f"sqlite:///{repo}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("captioner").experiment_id])
    return sorted(runs, key=lambda run: float(run.data.metrics["val_loss"]))


def champion_of(repo: Path) -> str:
    version = MlflowClient(f"sqlite:///{repo}/mlflow.db").get_model_version_by_alias("captioner", "champion")
    return str(version.run_id)


@pytest.fixture(scope="module")
def promoted(two_runs: Path) -> Path:
    printed = run(two_runs, "captioner", "promote")
    assert "models:/captioner@champion is now version 1" in printed
    return two_runs


def test_the_best_run_is_the_champion(promoted: Path) -> None:
    better, _ = runs_of(promoted)
    assert champion_of(promoted) == better.info.run_id
    assert "is the champion already" in run(promoted, "captioner", "promote")
    models = MlflowClient(f"sqlite:///{promoted}/mlflow.db").search_model_versions("name = 'captioner'")
    assert len(models) == 1


def test_the_model_carries_all_it_needs(promoted: Path) -> None:
    (folder,) = (path.parent for path in promoted.glob("mlruns/models/*/artifacts/MLmodel"))
    locked = re.findall(r"^([\w.-]+==[^\s\\;]+)", (promoted / "requirements/run.txt").read_text(), re.MULTILINE)
    kept = re.findall(r"^([\w.-]+==[^\s\\;]+)", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert set(kept) == set(locked)
    files = {path.name for path in folder.rglob("*")}
    assert {"captioner.weights.h5", "config.json", "vocabulary.txt", "extractor.weights.h5", "network.py"} <= files


def test_a_worse_run_and_other_code_need_force(promoted: Path) -> None:
    better, worse = runs_of(promoted)
    printed = run(promoted, "captioner", "promote", worse.info.run_id, status=1)
    assert "is worse than the champion" in printed
    assert champion_of(promoted) == better.info.run_id
    assert "before it" in run(promoted, "captioner", "promote", "--force", worse.info.run_id)
    assert champion_of(promoted) == worse.info.run_id
    with changed(promoted / "src/captioner/model/network.py", "def encode", "def  encode"):
        printed = run(promoted, "captioner", "promote", status=1, PYTHONPATH="src")
    assert "has changed since" in printed
    assert "src/captioner/model/network.py" in printed
    assert champion_of(promoted) == worse.info.run_id
    run(promoted, "captioner", "promote")
    assert champion_of(promoted) == better.info.run_id


@pytest.fixture(scope="module")
def service(promoted: Path) -> Iterator[str]:
    """MLflow's server with the champion; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", "models:/captioner@champion", "--env-manager", "local"]
    variables = environment() | {"CAPTIONER_PICTURES": str(promoted / "data/prepared/pictures")}
    with (promoted / "served.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "-p", str(port)], cwd=promoted, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert server.poll() is None
        try:
            requests.get(f"{address}/ping", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise TimeoutError(address)


def ask(address: str, pictures: Any) -> tuple[int, Any]:
    answer = requests.post(f"{address}/invocations", json={"inputs": pictures}, timeout=120)
    return answer.status_code, answer.json()


def test_the_service_says_what_the_command_says(promoted: Path, service: str) -> None:
    photos = sorted((promoted / "data/prepared/pictures/val").glob("*.png"))[:3]
    printed = run(promoted, "captioner", "caption", str(photos[0]), PYTHONPATH="src").strip().splitlines()[-1]
    status, answer = ask(service, [in_base64(photo.read_bytes()) for photo in photos])
    assert status == 200
    first = answer["predictions"][0]
    assert len(answer["predictions"]) == 3
    assert first["caption"] == printed
    assert " ".join(first["tokens"]) == printed
    assert len(first["attention"]) == len(first["tokens"])
    assert all(abs(sum(weights) - 1) < 1e-3 for weights in first["attention"])
    assert ask(service, [f"val/{photos[0].name}"]) == (200, {"predictions": [first]})


def test_a_real_photo(service: str, test_data: Path) -> None:
    photo = min((test_data / "flickr8k-mini/images").glob("*.jpg"))
    status, answer = ask(service, [in_base64(photo.read_bytes())])
    assert status == 200
    assert answer["predictions"][0]["caption"]


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pictures_are_refused_and_the_service_goes_on(service: str, case: str) -> None:
    status, answer = ask(service, HOSTILE[case])
    assert 400 <= status < 500
    text = json.dumps(answer)
    assert len(text) < 1000
    assert "Traceback" not in text
    assert "stack" not in text
    assert ask(service, [JPEG])[0] == 200


def test_a_huge_picture_of_few_bytes(service: str, tmp_path: Path) -> None:
    """45 megapixels of one colour: within the limit, so it is read."""
    Image.new("RGB", (9_000, 5_000), "red").save(tmp_path / "red.png")
    assert ask(service, [in_base64((tmp_path / "red.png").read_bytes())])[0] == 200


def test_a_request_ends_when_its_time_is_over(promoted: Path) -> None:
    """The server has answered the client by then; its thread must not go on for long."""
    code = (
        "import mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db'); "
        f"mlflow.pyfunc.load_model('models:/captioner@champion').predict(['{JPEG}'] * 3)"
    )
    printed = run(promoted, "python", "-c", code, status=1, MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT="0")
    assert "pictures 0 to 0 took too long to read: send fewer, or smaller ones" in printed
