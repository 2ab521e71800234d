"""Fits the captioning network to the features and ids of the training split."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from captioner.config import END, Params, Split, UserError
from captioner.data.tables import read_features
from captioner.model.batches import Batches
from captioner.model.network import Captioner
from captioner.model.store import write_model
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

# Called after each epoch with its rows of the history (steps, epoch) and its captions per second.
Watch = Callable[[list[dict[str, float]], dict[str, float], float], None]


def train(params: Params, features: Path, tokens: Path, out: Path, watch: Watch) -> dict[str, Any]:
    """Trains, keeps the best epoch by validation loss, and writes weights, shape and history.

    Returns:
        The history: ``epochs`` and ``steps`` (losses in nats a token), and ``best_epoch``.

    Raises:
        UserError: features and ids are not of the same pictures.
    """
    keras.utils.set_random_seed(params.seed)
    vocabulary = Vocabulary.read(tokens / "vocabulary.txt")
    training = _batches(params, features, tokens, "train", params.train.word_dropout)
    validation = _batches(params, features, tokens, "val")
    _, positions, channels = training.features_NxPxC.shape
    model = Captioner(params.model, len(vocabulary), params.train.label_smoothing)
    model.build_for(positions, channels)
    optimizer = make_optimizer(params, len(training))
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    history = _epochs(params, model, training, validation, watch)
    write_model(model, params.model, positions, channels, out)
    text = json.dumps(history, indent=1, sort_keys=True)
    (out / "history.json").write_text(text + "\n", encoding="utf-8")
    return history


def make_optimizer(params: Params, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with linear warm-up, then a constant rate or a cosine down to nothing."""
    settings = params.train
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    total = settings.epochs * steps_per_epoch
    constant = settings.schedule == "constant"
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else settings.learning_rate,
        decay_steps=max(1, total - warmup),
        alpha=1.0 if constant else 0.0,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=settings.weight_decay, global_clipnorm=settings.clip_norm, name="adamw"
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _batches(params: Params, features: Path, tokens: Path, split: Split, word_dropout: float = 0.0) -> Batches:
    captions = TokenizedCaptions.read(tokens / f"{split}.npz")
    features_NxPxC = read_features(features, split)
    if len(features_NxPxC) != len(captions.counts_N):
        raise UserError(
            f"{split}: features of {len(features_NxPxC)} pictures, captions of {len(captions.counts_N)}; "
            "run `dvc repro -f prepare tokenize-adapt`"
        )
    return Batches(features_NxPxC, captions, params.train.batch_size, params.seed, word_dropout)


def _epochs(params: Params, model: Captioner, training: Batches, validation: Batches, watch: Watch) -> dict[str, Any]:
    """Trains until the last epoch or until patience is out; leaves the best epoch's weights in ``model``."""
    epochs: list[dict[str, float]] = []
    steps: list[dict[str, float]] = []
    best: tuple[float, int, list[np.ndarray]] = (np.inf, 0, model.get_weights())
    captions = len(training.captions.lengths_M)
    with _progress() as progress:
        task = progress.add_task("train", total=params.train.epochs * len(training), loss=float("nan"))
        for epoch in range(1, params.train.epochs + 1):
            began = time.perf_counter()
            first_step = len(steps)
            loss = _epoch(model, training, epoch, steps, lambda x: progress.update(task, advance=1, loss=x))
            speed = captions / (time.perf_counter() - began)
            val_loss, val_loss_word = validation_loss(model, validation)
            rate = float(np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
            row = {
                "epoch": epoch,
                "step": len(steps),
                "loss": loss,
                "val_loss": val_loss,
                "val_loss_word": val_loss_word,
                "learning_rate": rate,
            }
            epochs.append(row)
            watch(steps[first_step:], row, speed)
            progress.console.print(f"epoch {epoch:3}  loss {loss:.4f}  val_loss {val_loss:.4f} nats a token")
            if val_loss < best[0]:
                best = (val_loss, epoch, model.get_weights())
            elif params.train.patience and epoch - best[1] >= params.train.patience:
                break
    model.set_weights(best[2])
    return {"best_epoch": best[1], "epochs": epochs, "steps": steps}


def _epoch(
    model: Captioner, training: Batches, epoch: int, steps: list[dict[str, float]], tick: Callable[[float], None]
) -> float:
    """One pass over the training split; the mean loss in nats a token."""
    total = tokens = 0.0
    for batch in training.shuffled(epoch):
        model.reset_metrics()
        logs = model.train_on_batch(batch.inputs, batch.targets_N, batch.weights_N, return_dict=True)
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise UserError(
                f"the loss became {loss} in epoch {epoch}, step {len(steps) + 1}: try a lower train.learning_rate "
                "or a smaller train.clip_norm"
            )
        steps.append({"step": len(steps) + 1, "loss": loss})
        total += loss * batch.tokens
        tokens += batch.tokens
        tick(loss)
    return total / tokens


def validation_loss(model: Captioner, validation: Batches) -> tuple[float, float]:
    """Cross entropy in nats a token (``<end>`` included) and in nats a word (the same sum over the words alone)."""
    total = tokens = 0.0
    for batch in validation.in_order():
        model.reset_metrics()
        logs = model.test_on_batch(batch.inputs, batch.targets_N, batch.weights_N, return_dict=True)
        total += float(logs["loss"]) * batch.tokens
        tokens += batch.tokens
    words = tokens - float(np.count_nonzero(validation.captions.ids == END))
    return total / tokens, total / words


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
    )
