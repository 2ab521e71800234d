"""An MLflow server that fails: training goes on, and the next `dvc repro` delivers what is missing."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from repository import SMALL, changed, compose, environment, make_repo, run

from captioner.track.store import Tracker

pytestmark = pytest.mark.slow

UNITS = itertools.count(33)
FORWARDED = ("content-type", "accept", "user-agent")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    options = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"))
    process = subprocess.Popen(
        ["mlflow", "server", "--port", str(port), "--workers", "1", *options], cwd=folder, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                requests.get(f"{address}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.5)
        else:
            pytest.fail("MLflow's server does not start")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def in_front(server: str, good: int, then: str) -> Iterator[str]:
    """The server's address behind which, after some good answers, something goes wrong."""
    answers = itertools.count(1)

    class Proxy(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if next(answers) > good:
                if then == "goes away":
                    self.connection.close()
                    return
                if then == "never answers":
                    time.sleep(5)
                    return
                self.send_response(500 if then == "answers 500" else 200)
                self.end_headers()
                self.wfile.write(b"<html>out of order</html>")
                return
            headers = {key: value for key, value in self.headers.items() if key.lower() in FORWARDED}
            answer = requests.request(self.command, server + self.path, data=body, headers=headers, timeout=60)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

        def log_message(self, format: str, *args: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    folder = make_repo(tmp_path_factory.mktemp("faulty"))
    compose(folder, *SMALL, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro", "tokenize-adapt")
    return folder


@pytest.mark.parametrize(
    ("good", "then"),
    [
        (0, "goes away"),  # it was never there
        (12, "goes away"),  # within the training
        (0, "answers 500"),
        (12, "answers 500"),
        (0, "answers with a web page"),
        (12, "never answers"),
    ],
)
def test_training_goes_on_and_all_is_delivered_later(done: Path, server: str, good: int, then: str) -> None:
    units = str(next(UNITS))
    with changed(done / "params.yaml", "units: 32", f"units: {units}"):
        with in_front(server, good, then) as address:
            quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}
            printed = run(done, "dvc", "repro", status=255, **quick, MLFLOW_TRACKING_URI=address)
        assert "training goes on, evaluate will log it" in printed
        assert "Traceback" not in printed
        assert (done / "reports/metrics.json").exists()
        printed = run(done, "dvc", "repro", MLFLOW_TRACKING_URI=server)
    assert "stages.train" not in printed
    client = MlflowClient(server)
    (row,) = client.search_runs(["1"], f"params.`model.units` = '{units}'")
    assert row.info.status == "FINISHED"
    assert {"bleu_4", "val_loss", "step_loss", "cider"} <= set(row.data.metrics)
    assert {"captioner", "identity.json", "index.html"} <= {f.path for f in client.list_artifacts(row.info.run_id)}
    assert [metric.step for metric in client.get_metric_history(row.info.run_id, "step_loss")] == list(range(1, 7))


@pytest.mark.parametrize("command", ["leaderboard", "compare one two", "promote", "reproduce one"])
def test_commands_say_in_a_line_that_the_server_fails(done: Path, server: str, command: str) -> None:
    Tracker(server)  # makes the experiment
    with in_front(server, 1, "answers 500") as address:
        quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_TRACKING_URI": address}
        printed = run(done, "captioner", *command.split(), status=1, **quick)
    (line,) = printed.splitlines()
    assert line.startswith("error: MLflow: ")
    assert "api/2.0/mlflow" in line
