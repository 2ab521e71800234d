"""What people see of the runs in ``mlflow ui``, in a browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from repository import environment
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs Chromium"),
]
# MLflow's own page asks for users that the server does not know, and is laid out anew while it is measured.
NOT_OURS = ("/ajax-api/2.0/mlflow/users/current", "ResizeObserver loop completed with undelivered notifications")


@pytest.fixture(scope="module")
def address(two_runs: Path) -> Iterator[str]:
    """``mlflow ui`` as a user starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (two_runs / "ui.log").open("w") as log:
        command = ["mlflow", "ui", "--port", str(port)]
        server = subprocess.Popen(command, cwd=two_runs, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        WebDriverWait(server, 120, ignored_exceptions=[requests.ConnectionError]).until(
            lambda process: process.poll() is not None or requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
        )
        assert server.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Chromium; what its console says of errors fails the test."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver")))) as chrome:
        yield chrome
        errors = [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
        assert [entry for entry in errors if not any(part in entry["message"] for part in NOT_OURS)] == []


def shown(browser: webdriver.Chrome, xpath: str) -> WebElement:
    """The first element that shows there, once it does."""
    return WebDriverWait(browser, 60).until(
        lambda chrome: next((found for found in chrome.find_elements(By.XPATH, xpath) if found.is_displayed()), None)
    )


def opened(browser: webdriver.Chrome, address: str, xpath: str) -> None:
    """Opens a page of MLflow that shows this; loads it again where MLflow's scripts have stumbled over the load."""
    for turn in range(3):
        try:
            browser.get("about:blank")  # else only what follows the # would change
            browser.get(address)
            shown(browser, xpath)
            return
        except TimeoutException:
            if turn == 2:
                raise


def runs_of(repo: Path) -> tuple[str, dict[str, str]]:
    """The experiment's id, and the runs' ids by their names."""
    client = MlflowClient(f"sqlite:///{repo}/mlflow.db")
    experiment = client.get_experiment_by_name("captioner").experiment_id
    return experiment, {str(run.info.run_name): run.info.run_id for run in client.search_runs([experiment])}


def test_the_table_of_runs(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = runs_of(two_runs)
    opened(browser, f"{address}/#/experiments/{experiment}/runs", "//*[contains(., 'matching runs')]")
    for name in runs:
        shown(browser, f"//*[text()='{name}']")


def test_a_chart_of_two_runs(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = runs_of(two_runs)
    opened(browser, f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART", "//*[text()='bleu_1']")
    bars = ".//*[contains(@class, 'bars')]//*[name()='path']"
    shown(browser, f"//*[name()='svg' and count({bars}) = {len(runs)}]")
    for name in runs:
        shown(browser, f"//*[text()='{name}']")


def test_two_runs_compared(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = runs_of(two_runs)
    ids = json.dumps(list(runs.values()), separators=(",", ":"))
    page = f"{address}/#/compare-runs?runs={ids}&experiments=[%22{experiment}%22]"
    opened(browser, page, "//*[contains(text(), 'Comparing 2 Runs')]")
    shown(browser, "//*[text()='model.units']")


def test_artifacts_and_the_page_inside(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = runs_of(two_runs)
    page = f"{address}/#/experiments/{experiment}/runs/{min(runs.values())}/artifacts"
    opened(browser, page, "//*[text()='index.html']")
    for name in ("captioner", "figures", "metrics.json", "vocabulary.txt", "patch.diff"):
        shown(browser, f"//*[text()='{name}']")
    shown(browser, "//*[text()='index.html']").click()
    browser.switch_to.frame(shown(browser, "//iframe"))
    assert shown(browser, "//h1").text == "Scores and captions"
    scores = ordered_by(browser, "best")
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert ordered_by(browser, "worst") == sorted(scores)
    word = shown(browser, "//article//button")
    word.click()
    assert word.get_attribute("aria-pressed") == "true"


def ordered_by(browser: webdriver.Chrome, order: str) -> list[float]:
    """The scores of the page's pictures, in the order that a reader asks for."""
    Select(browser.find_element(By.ID, "order")).select_by_value(order)
    return [float(str(found.get_attribute("data-score"))) for found in browser.find_elements(By.TAG_NAME, "article")]
