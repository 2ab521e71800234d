"""An MLflow server that fails: training continues, and the next `dvc repro` logs the missing records."""

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
from helpers.repository import SMALL, changed, compose, environment, make_repo, run
from mlflow import MlflowClient

from captioner.tracking.mlflow_store import MlflowStore

pytestmark = pytest.mark.slow

UNITS = itertools.count(33)  # a different run for each test
FORWARDED_HEADERS = ("content-type", "accept", "user-agent")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start MLflow's server and yield its address."""
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
def failing_proxy(server: str, good_answers: int, fault: str) -> Iterator[str]:
    """Yield the address of a proxy of the server that has a fault after some good answers."""
    request_numbers = itertools.count(1)

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if next(request_numbers) > good_answers:
                if fault == "closes connections":
                    self.connection.close()
                    return
                if fault == "never answers":
                    time.sleep(5)
                    return
                self.send_response(500 if fault == "answers 500" else 200)
                self.end_headers()
                self.wfile.write(b"<html>out of order</html>")
                return
            headers = {key: value for key, value in self.headers.items() if key.lower() in FORWARDED_HEADERS}
            answer = requests.request(self.command, server + self.path, data=body, headers=headers, timeout=60)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

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
def prepared(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """Return a repository in which the stages before train have run."""
    folder = make_repo(tmp_path_factory.mktemp("faulty"))
    compose(folder, *SMALL, f"data.data_dir={datasets}")
    run(folder, "dvc", "repro", "tokenize-adapt")
    return folder


@pytest.mark.parametrize(
    ("good_answers", "fault"),
    [
        (0, "closes connections"),  # from the start
        (12, "closes connections"),  # during the training
        (0, "answers 500"),
        (12, "answers 500"),
        (0, "answers with a web page"),
        (12, "never answers"),
    ],
)
def test_training_continues_and_is_logged_later(prepared: Path, server: str, good_answers: int, fault: str) -> None:
    units = str(next(UNITS))
    with changed(prepared / "params.yaml", "units: 32", f"units: {units}"):
        with failing_proxy(server, good_answers, fault) as address:
            timeouts = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}
            printed = run(prepared, "dvc", "repro", status=255, **timeouts, MLFLOW_TRACKING_URI=address)
        assert "training continues, evaluate will log it" in printed
        assert "Traceback" not in printed
        assert (prepared / "reports/metrics.json").exists()
        printed = run(prepared, "dvc", "repro", MLFLOW_TRACKING_URI=server)
    assert "stages.train" not in printed
    client = MlflowClient(server)
    (row,) = client.search_runs(["1"], f"params.`model.units` = '{units}'")
    assert row.info.status == "FINISHED"
    assert {"bleu_4", "val_loss", "step_loss", "cider"} <= set(row.data.metrics)
    assert {"captioner", "identity.json", "index.html"} <= {f.path for f in client.list_artifacts(row.info.run_id)}
    assert [metric.step for metric in client.get_metric_history(row.info.run_id, "step_loss")] == list(range(1, 7))


@pytest.mark.parametrize("command", ["leaderboard", "compare one two", "promote", "reproduce one"])
def test_server_error_is_one_line_of_a_command(prepared: Path, server: str, command: str) -> None:
    MlflowStore(server)  # creates the experiment
    with failing_proxy(server, 1, "answers 500") as address:
        variables = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_TRACKING_URI": address}
        printed = run(prepared, "captioner", *command.split(), status=1, **variables)
    (line,) = printed.splitlines()
    assert line.startswith("error: MLflow: ")
    assert "api/2.0/mlflow" in line


@pytest.mark.parametrize(("units", "strategies", "rows"), [(29, ("beam", "beam"), 1), (30, ("beam", "greedy"), 2)])
def test_same_training_at_the_same_time_in_two_clones_is_one_row(
    units: int, strategies: tuple[str, str], rows: int, server: str, tmp_path: Path, datasets: Path
) -> None:
    """Neither clone touches the unfinished run of the other. Another decoding is a child row at the end."""
    variables, processes = environment() | {"MLFLOW_TRACKING_URI": server}, []
    for number, strategy in enumerate(strategies):
        repo = make_repo(tmp_path / str(number))
        compose(repo, *SMALL, f"data.data_dir={datasets}", f"model.units={units}", f"decode.strategy={strategy}")
        processes.append(
            subprocess.Popen(
                ["dvc", "repro"], cwd=repo, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        assert "training continues" not in printed
    runs = [run for run in MlflowStore(server).search({}) if run.data.params.get("model.units") == str(units)]
    assert len(runs) == rows
    assert sum("captioner.run_hash" in run.data.tags for run in runs) == 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(run.data.metrics["bleu_4"] >= 0 for run in runs)
