"""The best epoch by CIDEr or BLEU-4 of greedy captions of the validation split."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.repository import SMALL, compose, make_repo, run
from test_checkpoint import SimulatedKill
from test_trainer import WORDS, make_params, train, train_in, write_data

from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.decode.sampling import TopKSampling
from captioner.model.network import Captioner
from captioner.model.saving import load_model
from captioner.score import metrics
from captioner.score.validation import GreedyScorer, make_scorer
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, SPECIAL_TOKENS
from captioner.train.checkpoint import CheckpointManager

ENVIRONMENT = {"cpu": "A"}
MAX_LENGTH = 6
IMAGES = 14


def write_long_captions(root: Path) -> Workspace:
    """Write the features of `write_data`, with captions of five equal words, since BLEU-4 needs four."""
    workspace = write_data(root, IMAGES)
    for split in ("train", "val"):
        words_N = np.load(workspace.features / f"{split}.npy")[:, 0].argmax(axis=-1)
        ids = np.concatenate([[*[word] * 5, END] for word in words_N]).astype(np.int32)
        ones_N = np.ones(IMAGES, np.int32)
        TokenizedCaptions(ids, 6 * ones_N, ones_N).write(workspace.tokens / split)
        texts = [[" ".join([WORDS[word - len(SPECIAL_TOKENS)]] * 5)] for word in words_N]
        numbers = list(range(IMAGES))
        write_captions_table(workspace.captions, split, CaptionsTable(numbers, [f"{n}.png" for n in numbers], texts))
    return workspace


def score_params(monitor: str, **changes: Any) -> Params:
    quick = {"train__epochs": 6, "train__learning_rate": 0.05, "train__warmup_epochs": 0.0, "model__dropout": 0.2}
    return make_params(**quick | {"train__monitor": monitor} | changes)


@pytest.mark.parametrize("monitor", ["val_cider", "val_bleu_4"])
def test_the_epoch_with_the_highest_validation_score_is_selected(
    tmp_path: Path, monitor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, params = write_long_captions(tmp_path), score_params(monitor)
    scorer = make_scorer(monitor, MAX_LENGTH, workspace)
    history = train_in(ENVIRONMENT, params, workspace, scorer=scorer).history
    values = [row[monitor] for row in history["epochs"]]
    assert len(set(values)) > 1
    assert history["best_epoch"] == 1 + values.index(max(values))
    best = history["epochs"][history["best_epoch"] - 1]
    model, _ = load_model(workspace.model)
    scores = GreedyScorer(MAX_LENGTH, workspace)(model)
    assert scores == {name: best[name] for name in ("val_cider", "val_bleu_4")}, "scores of other weights"
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert [line.split()[-2:] for line in printed] == [[monitor, f"{value:.4f}"] for value in values]


def test_patience_counts_epochs_without_a_higher_score(tmp_path: Path) -> None:
    scores = iter([0.2, 0.5, 0.5, 0.4, 0.9])
    params = score_params("val_cider", train__epochs=5, train__patience=2)
    history = train_in(ENVIRONMENT, params, write_data(tmp_path), scorer=lambda _: {"val_cider": next(scores)}).history
    assert [row["val_cider"] for row in history["epochs"]] == [0.2, 0.5, 0.5, 0.4]
    assert history["best_epoch"] == 2


def test_scoring_leaves_the_weights_of_each_epoch_unchanged(tmp_path: Path) -> None:
    one, two = (write_long_captions(tmp_path / name) for name in ("one", "two"))
    params = score_params("val_loss", train__word_dropout=0.3)
    without = train(params, one)
    scored = train_in(ENVIRONMENT, params, two, scorer=GreedyScorer(MAX_LENGTH, two)).history
    assert scored["steps"] == without["steps"]
    assert [{**row, **scores} for row, scores in zip(without["epochs"], scored["epochs"], strict=True)] == (
        scored["epochs"]
    )
    assert (one.model / "captioner.weights.h5").read_bytes() == (two.model / "captioner.weights.h5").read_bytes()


def test_one_graph_decodes_in_all_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call, traces, traces_by_epoch = TopKSampling.call, [], []

    def count_call(self: TopKSampling, inputs: dict[str, Any]) -> dict[str, Any]:
        traces.append(1)
        return call(self, inputs)

    monkeypatch.setattr(TopKSampling, "call", count_call)
    workspace, params = write_long_captions(tmp_path), score_params("val_cider")
    scorer = make_scorer("val_cider", MAX_LENGTH, workspace)
    train_in(ENVIRONMENT, params, workspace, lambda *_: traces_by_epoch.append(len(traces)), scorer)
    assert traces_by_epoch == [traces_by_epoch[0]] * 6
    assert traces_by_epoch[0] > 0


@pytest.mark.parametrize("saves", [3, 5, 10])  # an epoch has four steps; a checkpoint follows each step and each epoch
def test_training_by_score_resumes_to_the_same_files(
    tmp_path: Path, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = score_params("val_cider", train__epochs=3)
    expected, workspace = write_long_captions(tmp_path / "one"), write_long_captions(tmp_path / "two")
    train_in(ENVIRONMENT, params, expected, scorer=make_scorer("val_cider", MAX_LENGTH, expected))
    save, saved = CheckpointManager.save, []

    def save_and_die(self: CheckpointManager, *checkpoint: Any) -> None:
        save(self, *checkpoint)
        saved.append(1)
        if len(saved) == saves:
            raise SimulatedKill

    monkeypatch.setattr(CheckpointManager, "is_due", lambda self: True)
    monkeypatch.setattr(CheckpointManager, "save", save_and_die)
    with pytest.raises(SimulatedKill):
        train_in(ENVIRONMENT, params, workspace, scorer=make_scorer("val_cider", MAX_LENGTH, workspace))
    train_in(ENVIRONMENT, params, workspace, scorer=make_scorer("val_cider", MAX_LENGTH, workspace))
    for name in ("captioner.weights.h5", "history.json"):
        assert (workspace.model / name).read_bytes() == (expected.model / name).read_bytes()


def test_scoring_in_the_training_starts_no_process_that_a_schedulers_sigterm_would_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PARALLEL_MIN_CAPTIONS", 1)
    monkeypatch.setattr(metrics, "ProcessPoolExecutor", lambda *_: pytest.fail("a process was started"))
    network = Captioner(score_params("val_cider").model, len(WORDS) + len(SPECIAL_TOKENS))
    network.build_for(4, 20)
    assert set(GreedyScorer(MAX_LENGTH, write_long_captions(tmp_path))(network)) == {"val_cider", "val_bleu_4"}


def test_losses_need_no_scorer(tmp_path: Path) -> None:
    assert [make_scorer(monitor, MAX_LENGTH, Workspace(tmp_path)) for monitor in ("val_loss", "loss")] == [None, None]


@pytest.mark.slow
def test_mlflow_shows_the_validation_score_of_each_epoch(tmp_path: Path, datasets: Path) -> None:
    repo = make_repo(tmp_path)
    compose(repo, *SMALL, f"data.data_dir={datasets}", "train.backend=jax", "train.monitor=val_cider")
    printed = run(repo, "dvc", "repro", "train")
    assert printed.count("  val_cider ") == 2
    with sqlite3.connect(repo / "mlflow.db") as database:
        rows = database.execute("select step, value from metrics where key = 'val_cider' order by step").fetchall()
    assert [step for step, _ in rows] == [1, 2]
    assert rows[1][1] > 0
