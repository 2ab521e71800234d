"""The runs in ``mlflow ui``, as a browser shows them."""

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helpers.repository import environment, run
from mlflow import MlflowClient
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs Chromium"),
]
# Errors of MLflow's own page: it requests a user list that the server lacks, and its layout changes while measured.
MLFLOW_ERRORS = ("/ajax-api/2.0/mlflow/users/current", "ResizeObserver loop completed with undelivered notifications")


@pytest.fixture(scope="module")
def address(two_runs: Path) -> Iterator[str]:
    """Start ``mlflow ui`` as a user does, and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
    """Start Chromium. Errors on its console fail the test."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver")))) as chrome:
        yield chrome
        errors = [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
        assert [entry for entry in errors if not any(part in entry["message"] for part in MLFLOW_ERRORS)] == []


def wait_for_element(browser: webdriver.Chrome, xpath: str) -> WebElement:
    """Wait until an element is displayed, and return it."""
    return WebDriverWait(browser, 60).until(
        lambda chrome: next((e for e in chrome.find_elements(By.XPATH, xpath) if e.is_displayed()), None)
    )


def open_page(browser: webdriver.Chrome, address: str, xpath: str) -> None:
    """Open a page of MLflow that contains an element. Reload it if MLflow's scripts failed during the load."""
    for attempt in range(3):
        try:
            browser.get("about:blank")  # otherwise a change after the # would not load the page
            browser.get(address)
            wait_for_element(browser, xpath)
            return
        except TimeoutException:
            if attempt == 2:
                raise


def run_ids(repo: Path) -> tuple[str, dict[str, str]]:
    """Return the experiment's id, and the ids of its runs by their names."""
    client = MlflowClient(f"sqlite:///{repo}/mlflow.db")
    experiment = client.get_experiment_by_name("captioner").experiment_id
    return experiment, {str(run.info.run_name): run.info.run_id for run in client.search_runs([experiment])}


def test_table_lists_all_runs(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = run_ids(two_runs)
    open_page(browser, f"{address}/#/experiments/{experiment}/runs", "//*[contains(., 'matching runs')]")
    for name in runs:
        wait_for_element(browser, f"//*[text()='{name}']")


def test_printed_address_shows_scores_dataset_source_and_user(
    two_runs: Path, address: str, browser: webdriver.Chrome
) -> None:
    printed = run(two_runs, "dvc", "repro", "--force", "--single-item", "evaluate")
    (page,) = re.findall(r"^all runs: (\S+)$", printed, re.MULTILINE)
    assert run(two_runs, "python", "-m", "captioner.tracking.experiment_view").splitlines()[-1] == page
    browser.set_window_size(2200, 1000)
    open_page(browser, page.replace("http://127.0.0.1:5000", address), "//*[contains(., 'matching runs')]")
    for name in ("bleu_4", "cider", "val_loss", "Dataset", "Source", "User", "decode.strategy", "decode.beam_size"):
        wait_for_element(browser, f"//*[@role='columnheader']//*[text()='{name}']")
    client = MlflowClient(f"sqlite:///{two_runs}/mlflow.db")
    for name, run_id in run_ids(two_runs)[1].items():
        recorded = client.get_run(run_id)
        training, evaluation = recorded.inputs.dataset_inputs
        assert training.dataset.digest != evaluation.dataset.digest
        row = str(wait_for_element(browser, f"//*[text()='{name}']/ancestor::*[@row-index]").get_attribute("row-index"))
        dataset = read_cell(browser, row, "attributes.`Dataset`")
        assert f"shapes ({training.dataset.digest})" in dataset
        for metric in ("bleu_4", "cider"):
            shown = float(read_cell(browser, row, f"metrics.`{metric}`"))
            assert shown == pytest.approx(recorded.data.metrics[metric], abs=1e-5)
        assert read_cell(browser, row, "attributes.`Source`") == "dvc repro"
        assert read_cell(browser, row, "attributes.`User`") == getpass.getuser()


def read_cell(browser: webdriver.Chrome, row: str, column: str) -> str:
    """Return the text of a cell in the table of runs."""
    return wait_for_element(browser, f'//*[@row-index="{row}"]//*[@col-id="{column}"]').text.strip()


def test_chart_shows_all_runs(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = run_ids(two_runs)
    open_page(browser, f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART", "//*[text()='bleu_1']")
    bars = ".//*[contains(@class, 'bars')]//*[name()='path']"
    wait_for_element(browser, f"//*[name()='svg' and count({bars}) = {len(runs)}]")
    for name in runs:
        wait_for_element(browser, f"//*[text()='{name}']")


def test_comparison_shows_the_parameter_that_differs(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = run_ids(two_runs)
    ids = json.dumps(list(runs.values()), separators=(",", ":"))
    page = f"{address}/#/compare-runs?runs={ids}&experiments=[%22{experiment}%22]"
    open_page(browser, page, "//*[contains(text(), 'Comparing 2 Runs')]")
    wait_for_element(browser, "//*[text()='model.units']")


def test_report_page_works_among_the_artifacts(two_runs: Path, address: str, browser: webdriver.Chrome) -> None:
    experiment, runs = run_ids(two_runs)
    page = f"{address}/#/experiments/{experiment}/runs/{min(runs.values())}/artifacts"
    open_page(browser, page, "//*[text()='index.html']")
    for name in ("captioner", "figures", "metrics.json", "vocabulary.txt", "patch.diff"):
        wait_for_element(browser, f"//*[text()='{name}']")
    wait_for_element(browser, "//*[text()='index.html']").click()
    browser.switch_to.frame(wait_for_element(browser, "//iframe"))
    assert wait_for_element(browser, "//h1").text == "Scores and captions"
    scores = read_scores_in_order(browser, "best")
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert read_scores_in_order(browser, "worst") == sorted(scores)
    word = wait_for_element(browser, "//article//button")
    word.click()
    assert word.get_attribute("aria-pressed") == "true"


def read_scores_in_order(browser: webdriver.Chrome, order: str) -> list[float]:
    """Choose an order on the page, and return the scores of its images in that order."""
    Select(browser.find_element(By.ID, "order")).select_by_value(order)
    return [
        float(str(article.get_attribute("data-score"))) for article in browser.find_elements(By.TAG_NAME, "article")
    ]
