"""Fits the captioning network to the features and ids of the training split."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from captioner import config
from captioner.config import END, Params, Split, UserError
from captioner.data.tables import read_features
from captioner.model.batches import Batches
from captioner.model.checkpoints import Checkpoints
from captioner.model.network import Captioner
from captioner.model.store import write_model
from captioner.text.captions import TokenizedCaptions
from captioner.text.vocabulary import Vocabulary

# Called after each epoch with its rows of the history (steps, epoch) and its captions per second; None where an
# earlier process trained it.
Watch = Callable[[list[dict[str, float]], dict[str, float], float | None], None]


@dataclass
class State:
    """Where a training stands.

    Attributes:
        epoch: the epoch under way, from 1.
        batch: how many of its batches are done.
        loss_sum: their losses, in nats.
        tokens: their tokens.
        epochs: the history of the epochs that are done.
        steps: the history of the steps that are done.
        best_loss: the lowest validation loss; the checkpoint's last arrays are its weights.
        best_epoch: the epoch that reached it.
    """

    epoch: int = 1
    batch: int = 0
    loss_sum: float = 0.0
    tokens: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = 0


def train(params: Params, features: Path, tokens: Path, out: Path, checkpoints: Path, watch: Watch) -> dict[str, Any]:
    """Trains, keeps the best epoch by validation loss, and writes weights, shape and history.

    A training that was killed goes on from what it left in ``checkpoints``, to the same weights and the same history.

    Returns:
        The history: ``epochs`` and ``steps`` (losses in nats a token), and ``best_epoch``.

    Raises:
        UserError: features and ids are not of the same pictures, or the loss or a weight is no number any more.
        KeyboardInterrupt: SIGINT or SIGTERM came; a checkpoint is written.
    """
    keras.utils.set_random_seed(params.seed)
    vocabulary = Vocabulary.read(tokens / "vocabulary.txt")
    training = _batches(params, features, tokens, "train", params.train.word_dropout)
    validation = _batches(params, features, tokens, "val")
    _, positions, channels = training.features_NxPxC.shape
    model = Captioner(params.model, len(vocabulary), params.train.label_smoothing)
    model.build_for(positions, channels)
    optimizer = make_optimizer(params, len(training))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    fit = Fit(params.train, model, training, validation, Checkpoints(checkpoints))
    history = fit.run(watch)
    write_model(model, params.model, positions, channels, out)
    text = json.dumps(history, indent=1, sort_keys=True)
    (out / "history.json").write_text(text + "\n", encoding="utf-8")
    fit.checkpoints.remove()
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
    captions = TokenizedCaptions.read(tokens / split)
    features_NxPxC = read_features(features, split)
    if len(features_NxPxC) != len(captions.counts_N):
        raise UserError(
            f"{split}: features of {len(features_NxPxC)} pictures, captions of {len(captions.counts_N)}; "
            "run `dvc repro -f prepare tokenize-adapt`"
        )
    return Batches(features_NxPxC, captions, params.train.batch_size, params.seed, word_dropout)


class Fit:
    """The training loop, which can stop and go on after any step."""

    def __init__(
        self, settings: config.Train, model: Captioner, training: Batches, validation: Batches, checkpoints: Checkpoints
    ) -> None:
        self.settings = settings
        self.model = model
        self.training = training
        self.validation = validation
        self.checkpoints = checkpoints
        self.state = State()
        self.best_weights = model.get_weights()
        self._kept_step = 0

    def run(self, watch: Watch) -> dict[str, Any]:
        """Trains until the last epoch or until patience is out; leaves the best epoch's weights in the model."""
        self._go_on()
        first = 0
        for row in self.state.epochs:
            watch(self.state.steps[first : int(row["step"])], row, None)
            first = int(row["step"])
        with _progress() as progress, _stop_requested() as stop:
            total = self.settings.epochs * len(self.training)
            task = progress.add_task("train", total=total, completed=len(self.state.steps), loss=float("nan"))
            while not self._over():
                speed = self._epoch(lambda loss: progress.update(task, advance=1, loss=loss), stop)
                row = self._end_epoch()
                watch(self.state.steps[-len(self.training) :], row, speed)
                told = f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  val_loss {row['val_loss']:.4f} nats a token"
                progress.console.print(told)
        self.model.set_weights(self.best_weights)
        state = self.state
        return {"best_epoch": state.best_epoch, "epochs": state.epochs, "steps": state.steps}

    def _over(self) -> bool:
        done = len(self.state.epochs)
        patience = self.settings.patience
        return done >= self.settings.epochs or bool(patience and done - self.state.best_epoch >= patience)

    def _epoch(self, tick: Callable[[float], None], stop: threading.Event) -> float:
        """What is left of the epoch under way; returns its captions per second."""
        state, model = self.state, self.model
        began, captions = time.perf_counter(), 0
        for batch in islice(self.training.shuffled(state.epoch), state.batch, None):
            model.reset_metrics()
            logs = model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR, return_dict=True)
            loss = float(logs["loss"])
            if not np.isfinite(loss):
                raise self._diverged(f"loss became {loss}", len(state.steps) + 1)
            state.steps.append({"step": len(state.steps) + 1, "loss": loss})
            state.loss_sum += loss * batch.tokens
            state.tokens += batch.tokens
            state.batch += 1
            captions += batch.captions
            tick(loss)
            if stop.is_set() or self.checkpoints.due():
                self._keep()
            if stop.is_set():
                raise KeyboardInterrupt
        return captions / (time.perf_counter() - began)

    def _end_epoch(self) -> dict[str, float]:
        """Validates, and turns to the next epoch; returns the history's row of this one."""
        state = self.state
        val_loss, val_loss_word = validation_loss(self.model, self.validation)
        if not np.isfinite(val_loss):
            raise self._diverged(f"validation loss became {val_loss}", len(state.steps))
        row = {
            "epoch": state.epoch,
            "step": len(state.steps),
            "loss": state.loss_sum / state.tokens,
            "val_loss": val_loss,
            "val_loss_word": val_loss_word,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
        }
        state.epochs.append(row)
        if val_loss < state.best_loss:
            state.best_loss, state.best_epoch = val_loss, state.epoch
            self.best_weights = self.model.get_weights()
        state.epoch, state.batch, state.loss_sum, state.tokens = state.epoch + 1, 0, 0.0, 0
        if self.checkpoints.due():
            self._keep()
        return row

    def _variables(self) -> list[keras.Variable]:
        """All that a step changes, the random state of dropout and the optimizer's moments included."""
        return [*self.model.non_trainable_variables, *self.model.trainable_variables, *self.model.optimizer.variables]

    def _keep(self) -> None:
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        # The loss of a step is that of the weights before it.
        if not all(np.isfinite(array).all() for array in arrays):
            raise self._diverged("weights became infinite or no numbers", len(self.state.steps))
        self.checkpoints.write([*arrays, *self.best_weights], asdict(self.state))
        self._kept_step = len(self.state.steps)

    def _diverged(self, what: str, step: int) -> UserError:
        kept = f"of step {self._kept_step}, in {self.checkpoints.folder}" if self._kept_step else "there is none yet"
        return UserError(
            f"the {what} in epoch {self.state.epoch}, step {step} (last good checkpoint: {kept}): "
            "try a lower train.learning_rate or a smaller train.clip_norm"
        )

    def _go_on(self) -> None:
        """Takes up the last checkpoint, if there is one."""
        kept = self.checkpoints.read()
        if kept is None:
            return
        arrays, state = kept
        variables = self._variables()
        for variable, value in zip(variables, arrays[: len(variables)], strict=True):
            variable.assign(value)
        self.best_weights = arrays[len(variables) :]
        self.state = State(**state)
        self._kept_step = len(self.state.steps)
        print(f"going on from epoch {self.state.epoch}, batch {self.state.batch}", flush=True)


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT (Ctrl-C) and SIGTERM (a scheduler) set, so that the step under way can end."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def validation_loss(model: Captioner, validation: Batches) -> tuple[float, float]:
    """Cross entropy in nats a token (``<end>`` included) and in nats a word (the same sum over the words alone)."""
    total = tokens = 0.0
    for batch in validation.in_order():
        model.reset_metrics()
        logs = model.test_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR, return_dict=True)
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
