"""Training: golden numbers of one step, reproducible files, early stopping, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import Params, check_params, read_params
from captioner.data.features import write_extractor_identity
from captioner.model.network import Captioner
from captioner.model.saving import load_model
from captioner.model.weights_hash import weights_hash
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, Vocabulary
from captioner.train.input_pipeline import InputPipeline
from captioner.train.optimizer import make_optimizer
from captioner.train.trainer import EpochCallback, TrainingResult, ValidationScorer, train_model

ROOT = Path(__file__).parents[2]
WORDS = [f"w{n}" for n in range(16)]

# Of one step, on both backends: the loss in nats per token, and the sum of each weight's absolute values afterwards.
GOLDEN_LOSS = 3.1276073
GOLDEN_SUMS = {
    "captioner/output_bias": 3.2715626,
    "captioner/project/kernel": 25.3764496,
    "captioner/project/bias": 1.3833435,
    "captioner/embedding/embeddings": 25.3922329,
    "captioner/gru/gru_cell/kernel": 30.5732307,
    "captioner/gru/gru_cell/recurrent_kernel": 30.7723885,
    "captioner/gru/gru_cell/bias": 7.6880865,
    "captioner/first_state/kernel": 10.2964649,
    "captioner/first_state/bias": 1.3833435,
    "captioner/norm/gamma": 1.3673477,
    "captioner/norm/beta": 1.3673458,
}


def make_params(**changes) -> Params:
    """Return the committed parameters at a small size, with changes such as ``train__epochs=3``."""
    tree = read_params(ROOT / "params.yaml").model_dump()
    small = {"model__attention_dim": 8, "model__embedding_dim": 8, "model__units": 8, "train__epochs": 3}
    for key, value in (small | {"train__batch_size": 4} | changes).items():
        section, _, name = key.partition("__")
        tree[section][name] = value
    return check_params(tree)


def write_data(root: Path, images: int = 12, feature_rows: int | None = None) -> Workspace:
    """Write features that directly encode the only word of each image's captions."""
    generator = np.random.default_rng(0)
    workspace = Workspace(root)
    for path in (workspace.features, workspace.tokens):
        path.mkdir(parents=True)
    Vocabulary.from_words(WORDS).write(workspace.vocabulary)
    write_extractor_identity(workspace.features, {"name": "any", "weights_hash": "0"})
    for split in ("train", "val"):
        words_N = generator.integers(4, 20, images)
        features_NxPxC = np.zeros((feature_rows or images, 4, 20), np.float16)
        for row, word in enumerate(words_N[: len(features_NxPxC)]):
            features_NxPxC[row, :, word] = 1
        np.save(workspace.features / f"{split}.npy", features_NxPxC)
        ids = np.concatenate([[word, word, END, word, END] for word in words_N]).astype(np.int32)
        lengths_M, counts_N = np.asarray([3, 2] * images, np.int32), np.asarray([2] * images, np.int32)
        TokenizedCaptions(ids, lengths_M, counts_N).write(workspace.tokens / split)
    return workspace


def ignore_epoch(*_: object) -> None:
    pass


def train_in(
    environment: dict[str, Any],
    params: Params,
    workspace: Workspace,
    on_epoch_end: EpochCallback = ignore_epoch,
    scorer: ValidationScorer | None = None,
) -> TrainingResult:
    checkpoints = workspace.checkpoints / "run"
    return train_model(
        params.seed, params.model, params.train, workspace, checkpoints, environment, on_epoch_end, scorer
    )


def train(params: Params, workspace: Workspace, on_epoch_end: EpochCallback = ignore_epoch) -> dict[str, Any]:
    """Return the history of a training in any environment."""
    return train_in({"cpu": "A"}, params, workspace, on_epoch_end).history


def test_golden_numbers_of_one_step():
    """After an intended change of the model or its training, print the new numbers and insert them here."""
    keras.utils.set_random_seed(7)
    params = make_params(train__warmup_epochs=0.0, train__weight_decay=0.1, train__label_smoothing=0.1)
    model = Captioner(params.model, 20, label_smoothing=0.1)
    model.build_for(4, 20)
    # The initial weights come from a formula, so the numbers do not depend on the version of a random generator.
    for weight in model.trainable_weights:
        size = int(np.prod(weight.shape))
        weight.assign(np.reshape(np.sin(1.0 + np.arange(size)) / 4, weight.shape).astype("float32"))
    features_NxPxC = np.cos(np.arange(2 * 4 * 20)).reshape(2, 4, 20).astype("float16")
    captions = TokenizedCaptions(
        np.asarray([5, 6, END, 7, END, 8, 9, 10, END], np.int32), np.asarray([3, 2, 4]), np.asarray([2, 1])
    )
    (batch,) = InputPipeline(features_NxPxC, captions, 2).in_order()
    model.compile(optimizer=make_optimizer(params.train, 10), jit_compile=False)
    loss = float(model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))
    sums = {weight.path: float(np.abs(keras.ops.convert_to_numpy(weight)).sum()) for weight in model.trainable_weights}
    assert loss == pytest.approx(GOLDEN_LOSS, rel=1e-5)
    assert sums == pytest.approx(GOLDEN_SUMS, rel=1e-5)


def test_training_reduces_the_loss_and_selects_the_best_epoch(tmp_path: Path):
    workspace = write_data(tmp_path, images=64)
    epochs = []
    params = make_params(train__epochs=12, train__learning_rate=0.03, train__warmup_epochs=0.0)
    history = train(params, workspace, lambda *epoch: epochs.append(epoch))
    losses = [epoch["val_loss"] for epoch in history["epochs"]]
    assert losses[-1] < 0.7 * losses[0]
    assert history["best_epoch"] == 1 + losses.index(min(losses))
    assert [len(steps) for steps, _, _ in epochs] == [16] * len(losses)
    assert json.loads((workspace.model / "history.json").read_text()) == history
    # 2 of 5 ids are <end>, which are tokens but not words.
    assert history["epochs"][0]["val_loss_word"] == pytest.approx(losses[0] * 5 / 3)


@pytest.mark.parametrize("monitor", ["val_loss", "loss"])
def test_the_epoch_with_the_lowest_monitored_loss_is_selected(tmp_path: Path, monitor: str):
    workspace = write_data(tmp_path)
    history = train(make_params(train__epochs=12, train__monitor=monitor), workspace)
    values = [epoch[monitor] for epoch in history["epochs"]]
    assert history["best_epoch"] == 1 + values.index(min(values))


def test_equal_inputs_give_equal_files_and_another_seed_gives_other_weights(tmp_path: Path):
    one, two, other = (write_data(tmp_path / name) for name in ("one", "two", "other"))
    for workspace, seed in ((one, 1), (two, 1), (other, 2)):
        train(make_params().model_copy(update={"seed": seed}), workspace)
    for file in ("captioner.weights.h5", "config.json", "history.json", "summary.txt"):
        assert (one.model / file).read_bytes() == (two.model / file).read_bytes()
    hash_one, hash_two, hash_other = (weights_hash(workspace.model_weights) for workspace in (one, two, other))
    assert hash_one == hash_two != hash_other


def test_early_stopping_after_epochs_without_improvement(tmp_path: Path):
    """The learning rate is so high that the loss increases after the first epochs."""
    params = make_params(train__epochs=30, train__learning_rate=0.5, train__patience=2, train__warmup_epochs=0.0)
    history = train(params, write_data(tmp_path))
    assert len(history["epochs"]) == history["best_epoch"] + 2 < 30


def test_features_and_captions_of_different_images_are_rejected(tmp_path: Path):
    workspace = write_data(tmp_path, feature_rows=11)
    with pytest.raises(UserError, match="features of 11 images, captions of 12"):
        train(make_params(), workspace)
    assert not workspace.model.exists()


def test_a_loss_that_is_not_finite_stops_training(tmp_path: Path):
    workspace = write_data(tmp_path)
    path = workspace.features / "train.npy"
    np.save(path, np.full_like(np.load(path), np.inf))
    with pytest.raises(UserError, match=r"epoch 1, step 1.*learning_rate"):
        train(make_params(), workspace)
    assert not workspace.model.exists()


@pytest.mark.parametrize("damage", ["missing", "other model", "half a file"])
def test_a_damaged_model_gives_an_error_in_one_line(tmp_path: Path, damage: str):
    workspace = write_data(tmp_path)
    train(make_params(train__epochs=1), workspace)
    weights, config = workspace.model / "captioner.weights.h5", workspace.model / "config.json"
    if damage == "missing":
        weights.unlink()
    elif damage == "half a file":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        config.write_text(config.read_text().replace('"units": 8', '"units": 9'))
    with pytest.raises(UserError) as caught:
        load_model(workspace.model)
    assert "dvc repro" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_diverging_training_names_its_last_good_checkpoint(tmp_path: Path):
    workspace = write_data(tmp_path)
    params = make_params(train__learning_rate=1e30, train__warmup_epochs=0.0, train__schedule="constant")
    message = r"loss became (nan|inf) in epoch 1, step 2 \(last good checkpoint: step 1 in .*run\): try a lower"
    with pytest.raises(UserError, match=message) as caught:
        train(params, workspace)
    assert "\n" not in str(caught.value)
    assert not workspace.model.exists()


def test_a_validation_loss_that_is_not_finite_stops_training(tmp_path: Path):
    workspace = write_data(tmp_path)
    path = workspace.features / "val.npy"
    np.save(path, np.full_like(np.load(path), np.nan))
    message = r"validation loss became nan in epoch 1, step \d+ \(last good checkpoint: step"
    with pytest.raises(UserError, match=message):
        train(make_params(), workspace)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path):
    workspace = write_data(tmp_path)
    params = make_params(train__learning_rate=1e38, train__warmup_epochs=0.0, train__weight_decay=1e3)
    with pytest.raises(UserError, match=r"weights became .* step 1 \(last good checkpoint: none yet\)"):
        train(params, workspace)
    assert not workspace.checkpoints.exists()
