"""Training: one step to the digit, the same bytes twice, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from captioner.config import END, Params, UserError, check_params, read_params
from captioner.model.batches import Batches
from captioner.model.fit import make_optimizer, train
from captioner.model.network import Captioner
from captioner.model.store import WEIGHTS, read_model
from captioner.model.weights import weights_hash
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
WORDS = [f"w{n}" for n in range(16)]

# Of one step, on both backends: the loss in nats a token, and the sum of each weight's absolute values afterwards.
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


def params(**changes) -> Params:
    """The committed parameters at a small size, with some of them changed: ``train__epochs=3``."""
    tree = read_params(ROOT / "params.yaml").model_dump()
    small = {"model__attention_dim": 8, "model__embedding_dim": 8, "model__units": 8, "train__epochs": 3}
    for key, value in (small | {"train__batch_size": 4} | changes).items():
        section, _, name = key.partition("__")
        tree[section][name] = value
    return check_params(tree)


def write_data(folder: Path, pictures: int = 12, rows: int | None = None) -> tuple[Path, Path]:
    """Features and ids in which a picture's only word is written plainly in its features."""
    random = np.random.default_rng(0)
    features, tokens = folder / "features", folder / "tokens"
    for path in (features, tokens):
        path.mkdir(parents=True)
    Vocabulary.of_words(WORDS).write(tokens / "vocabulary.txt")
    for split in ("train", "val"):
        words_N = random.integers(4, 20, pictures)
        features_NxPxC = np.zeros((rows or pictures, 4, 20), np.float16)
        for row, word in enumerate(words_N[: len(features_NxPxC)]):
            features_NxPxC[row, :, word] = 1
        np.save(features / f"{split}.npy", features_NxPxC)
        ids = np.concatenate([[word, word, END, word, END] for word in words_N]).astype(np.int32)
        lengths_M, counts_N = np.asarray([3, 2] * pictures, np.int32), np.asarray([2] * pictures, np.int32)
        TokenizedCaptions(ids, lengths_M, counts_N).write(tokens / split)
    return features, tokens


def no_watch(*_: object) -> None:
    pass


def test_golden_numbers_of_one_step():
    """If a change of the model or its training is meant, print the new numbers and write them here."""
    keras.utils.set_random_seed(7)
    settings = params(train__warmup_epochs=0.0, train__weight_decay=0.1, train__label_smoothing=0.1)
    model = Captioner(settings.model, 20, label_smoothing=0.1)
    model.build_for(4, 20)
    # The initial weights come from one formula, so that no version of a random generator is in the numbers.
    for weight in model.trainable_weights:
        size = int(np.prod(weight.shape))
        weight.assign(np.reshape(np.sin(1.0 + np.arange(size)) / 4, weight.shape).astype("float32"))
    features_NxPxC = np.cos(np.arange(2 * 4 * 20)).reshape(2, 4, 20).astype("float16")
    captions = TokenizedCaptions(
        np.asarray([5, 6, END, 7, END, 8, 9, 10, END], np.int32), np.asarray([3, 2, 4]), np.asarray([2, 1])
    )
    (batch,) = Batches(features_NxPxC, captions, 2).in_order()
    model.compile(optimizer=make_optimizer(settings, 10), jit_compile=False)
    loss = float(model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))
    sums = {weight.path: float(np.abs(keras.ops.convert_to_numpy(weight)).sum()) for weight in model.trainable_weights}
    assert loss == pytest.approx(GOLDEN_LOSS, rel=1e-5)
    assert sums == pytest.approx(GOLDEN_SUMS, rel=1e-5)


def test_training_learns_and_keeps_the_best_epoch(tmp_path: Path):
    features, tokens = write_data(tmp_path, pictures=64)
    seen = []
    settings = params(train__epochs=12, train__learning_rate=0.03, train__warmup_epochs=0.0)
    history = train(settings, features, tokens, tmp_path / "model", tmp_path / "kept", lambda *row: seen.append(row))
    losses = [epoch["val_loss"] for epoch in history["epochs"]]
    assert losses[-1] < 0.7 * losses[0]
    assert history["best_epoch"] == 1 + losses.index(min(losses))
    assert [len(steps) for steps, _, _ in seen] == [16] * len(losses)
    assert json.loads((tmp_path / "model" / "history.json").read_text()) == history
    # Nats a word: the same sum over fewer, without <end> (2 of 5 ids).
    assert history["epochs"][0]["val_loss_word"] == pytest.approx(losses[0] * 5 / 3)


def test_the_same_inputs_give_the_same_bytes_and_another_seed_others(tmp_path: Path):
    features, tokens = write_data(tmp_path)
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        settings = params().model_copy(update={"seed": seed})
        train(settings, features, tokens, tmp_path / name, tmp_path / "kept", no_watch)
    for file in ("captioner.weights.h5", "config.json", "history.json", "summary.txt"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    one, two, other = (weights_hash(tmp_path / name / WEIGHTS) for name in ("one", "two", "other"))
    assert one == two != other


def test_early_stop_and_the_best_weights(tmp_path: Path):
    """With a rate that ruins what it learned, the first epochs are kept and patience ends it."""
    features, tokens = write_data(tmp_path)
    settings = params(train__epochs=30, train__learning_rate=0.5, train__patience=2, train__warmup_epochs=0.0)
    history = train(settings, features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)
    assert len(history["epochs"]) == history["best_epoch"] + 2 < 30


def test_features_and_captions_of_different_pictures_are_refused(tmp_path: Path):
    features, tokens = write_data(tmp_path, rows=11)
    with pytest.raises(UserError, match="features of 11 pictures, captions of 12"):
        train(params(), features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)
    assert not (tmp_path / "model").exists()


def test_a_loss_that_is_no_number_stops_at_once(tmp_path: Path):
    features, tokens = write_data(tmp_path)
    broken = np.load(features / "train.npy")
    broken[:] = np.inf
    np.save(features / "train.npy", broken)
    with pytest.raises(UserError, match=r"epoch 1, step 1.*learning_rate"):
        train(params(), features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", ["missing", "other model", "half a file"])
def test_a_damaged_model_is_one_line(tmp_path: Path, damage: str):
    features, tokens = write_data(tmp_path)
    folder = tmp_path / "model"
    train(params(train__epochs=1), features, tokens, folder, tmp_path / "kept", no_watch)
    weights = folder / "captioner.weights.h5"
    if damage == "missing":
        weights.unlink()
    elif damage == "half a file":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        text = (folder / "config.json").read_text().replace('"units": 8', '"units": 9')
        (folder / "config.json").write_text(text)
    with pytest.raises(UserError) as caught:
        read_model(folder)
    assert "dvc repro" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_training_that_diverges_names_its_last_good_checkpoint(tmp_path: Path):
    features, tokens = write_data(tmp_path)
    wild = params(train__learning_rate=1e30, train__warmup_epochs=0.0, train__schedule="constant")
    says = r"loss became (nan|inf) in epoch 1, step 2 \(last good checkpoint: of step 1, in .*kept\): try a lower"
    with pytest.raises(UserError, match=says) as caught:
        train(wild, features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_validation_loss_that_is_no_number_stops_it(tmp_path: Path):
    features, tokens = write_data(tmp_path)
    np.save(features / "val.npy", np.full_like(np.load(features / "val.npy"), np.nan))
    with pytest.raises(UserError, match=r"validation loss became nan in epoch 1, step \d+ \(last good checkpoint: of"):
        train(params(), features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path):
    features, tokens = write_data(tmp_path)
    wild = params(train__learning_rate=1e38, train__warmup_epochs=0.0, train__weight_decay=1e3)
    with pytest.raises(UserError, match=r"weights became .* step 1 \(last good checkpoint: there is none yet\)"):
        train(wild, features, tokens, tmp_path / "model", tmp_path / "kept", no_watch)
    assert not (tmp_path / "kept").exists()
