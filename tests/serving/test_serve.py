"""A run is promoted, and MLflow's own server answers with its captions."""

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
from helpers.images import encode_base64, encode_image, make_progressive_jpeg, make_truncated_png
from helpers.repository import changed, environment, run
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

pytestmark = pytest.mark.slow

JPEG = encode_base64(encode_image("JPEG"))
INVALID_REQUESTS: dict[str, Any] = {
    "not an image": [encode_base64(b"GIF89 is not here")],
    "not base64": ["%%%"],
    "empty": [""],
    "truncated": [encode_base64(encode_image("JPEG")[:300])],
    "rows missing": [encode_base64(make_truncated_png(300, 300))],
    "decompression bomb": [encode_base64(make_truncated_png(60_000, 60_000))],
    "too large": ["A" * 30_000_000],
    "too many": [JPEG] * 65,
    "no images": [],
    "a path": ["/etc/ssl/openssl.cnf"],
    "a path outside of the folder": ["../mlflow.db"],
    "a URL": ["http://127.0.0.1/secret.png"],
    "PostScript": [encode_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")],
    "a JPEG of 100,000 scans": [encode_base64(make_progressive_jpeg(100_000, (2_000, 2_000)))],
    "a number": [5],
    "null": [None],
    "one good, one bad": [JPEG, "%%%"],
}


def runs_best_first(repo: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{repo}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("captioner").experiment_id])
    return sorted(runs, key=lambda run: float(run.data.metrics["val_loss"]))


def champion_run_id(repo: Path) -> str:
    version = MlflowClient(f"sqlite:///{repo}/mlflow.db").get_model_version_by_alias("captioner", "champion")
    return str(version.run_id)


@pytest.fixture(scope="module")
def promoted(two_runs: Path) -> Path:
    """Return a repository with two runs, the better of which is the champion."""
    printed = run(two_runs, "captioner", "promote")
    assert "models:/captioner@champion is now version 1" in printed
    return two_runs


def test_best_run_is_the_champion(promoted: Path) -> None:
    better, _ = runs_best_first(promoted)
    assert champion_run_id(promoted) == better.info.run_id
    assert "is the champion already" in run(promoted, "captioner", "promote")
    models = MlflowClient(f"sqlite:///{promoted}/mlflow.db").search_model_versions("name = 'captioner'")
    assert len(models) == 1


def test_model_contains_code_weights_and_requirements(promoted: Path) -> None:
    (folder,) = (path.parent for path in promoted.glob("mlruns/models/*/artifacts/MLmodel"))
    locked = re.findall(r"^([\w.-]+==[^\s\\;]+)", (promoted / "requirements/run.txt").read_text(), re.MULTILINE)
    packed = re.findall(r"^([\w.-]+==[^\s\\;]+)", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert set(packed) == set(locked)
    files = {path.name for path in folder.rglob("*")}
    assert {"captioner.weights.h5", "config.json", "vocabulary.txt", "extractor.weights.h5", "network.py"} <= files


def test_worse_run_and_changed_code_need_force(promoted: Path) -> None:
    better, worse = runs_best_first(promoted)
    printed = run(promoted, "captioner", "promote", worse.info.run_id, status=1)
    assert "is worse than the champion" in printed
    assert champion_run_id(promoted) == better.info.run_id
    assert "previously" in run(promoted, "captioner", "promote", "--force", worse.info.run_id)
    assert champion_run_id(promoted) == worse.info.run_id
    with changed(promoted / "src/captioner/model/network.py", "def encode", "def  encode"):
        printed = run(promoted, "captioner", "promote", status=1, PYTHONPATH="src")
    assert "have changed since" in printed
    assert "src/captioner/model/network.py" in printed
    assert champion_run_id(promoted) == worse.info.run_id
    run(promoted, "captioner", "promote")
    assert champion_run_id(promoted) == better.info.run_id


@pytest.fixture(scope="module")
def service(promoted: Path) -> Iterator[str]:
    """Start MLflow's server with the champion, and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", "models:/captioner@champion", "--env-manager", "local"]
    variables = environment() | {"CAPTIONER_PICTURES": str(promoted / "data/prepared/images")}
    with (promoted / "served.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "-p", str(port)], cwd=promoted, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_until_ready(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None
        try:
            requests.get(f"{address}/ping", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise TimeoutError(address)


def request_captions(address: str, images: Any) -> tuple[int, Any]:
    """Return the status and the body of the service's answer."""
    response = requests.post(f"{address}/invocations", json={"inputs": images}, timeout=120)
    return response.status_code, response.json()


def test_service_and_command_give_the_same_caption(promoted: Path, service: str) -> None:
    images = sorted((promoted / "data/prepared/images/val").glob("*.png"))[:3]
    printed = run(promoted, "captioner", "caption", str(images[0]), PYTHONPATH="src").strip().splitlines()[-1]
    status, answer = request_captions(service, [encode_base64(image.read_bytes()) for image in images])
    assert status == 200
    first = answer["predictions"][0]
    assert len(answer["predictions"]) == 3
    assert first["caption"] == printed
    assert " ".join(first["tokens"]) == printed
    assert len(first["attention"]) == len(first["tokens"])
    assert all(abs(sum(weights) - 1) < 1e-3 for weights in first["attention"])
    assert request_captions(service, [f"val/{images[0].name}"]) == (200, {"predictions": [first]})


def test_photo_gets_a_caption(service: str, test_data: Path) -> None:
    photo = min((test_data / "flickr8k-mini/images").glob("*.jpg"))
    status, answer = request_captions(service, [encode_base64(photo.read_bytes())])
    assert status == 200
    assert answer["predictions"][0]["caption"]


@pytest.mark.parametrize("case", INVALID_REQUESTS)
def test_invalid_requests_are_refused_and_the_service_keeps_answering(service: str, case: str) -> None:
    status, answer = request_captions(service, INVALID_REQUESTS[case])
    assert 400 <= status < 500
    text = json.dumps(answer)
    assert len(text) < 1000
    assert "Traceback" not in text
    assert "stack" not in text
    assert request_captions(service, [JPEG])[0] == 200


def test_image_of_45_megapixels_in_a_small_file_is_read(service: str, tmp_path: Path) -> None:
    Image.new("RGB", (9_000, 5_000), "red").save(tmp_path / "red.png")
    assert request_captions(service, [encode_base64((tmp_path / "red.png").read_bytes())])[0] == 200


def test_request_ends_at_the_time_limit(promoted: Path) -> None:
    """The server has then already answered the client, so its thread must end soon."""
    code = (
        "import mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db'); "
        f"mlflow.pyfunc.load_model('models:/captioner@champion').predict(['{JPEG}'] * 3)"
    )
    printed = run(promoted, "python", "-c", code, status=1, MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT="0")
    assert "images 0 to 0 took too long to read: send fewer, or smaller ones" in printed
