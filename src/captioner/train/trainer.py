"""Training of the captioning network on the features and token ids of the training split."""

from __future__ import annotations

import json
import signal
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
from rich.progress import TextColumn

from captioner.common.console import progress_bar
from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.common.schema import Split
from captioner.common.unfinished_work import mark_finished, mark_unfinished
from captioner.data.features import read_extractor_identity, read_features
from captioner.model.config import ModelConfig
from captioner.model.network import Captioner
from captioner.model.saving import ModelInputs, save_model
from captioner.text.tokenized_captions import TokenizedCaptions
from captioner.text.vocabulary import END, Vocabulary
from captioner.train.checkpoint import CheckpointManager
from captioner.train.config import SCORES, TrainConfig
from captioner.train.environments import describe_differences
from captioner.train.input_pipeline import InputPipeline
from captioner.train.optimizer import make_optimizer

# Called after each epoch with the history of its steps, the history of the epoch, and its speed in captions per second.
# The speed is None if an earlier process trained a part of the epoch.
EpochCallback = Callable[[list[dict[str, float]], dict[str, float], float | None], None]
# Returns the scores of the validation split's captions, by name, for the history of an epoch.
ValidationScorer = Callable[[Captioner], dict[str, float]]


@dataclass
class TrainingState:
    """The progress of a training. Checkpoints contain the fields as JSON.

    Attributes:
        epoch: the current epoch, from 1.
        batch: the number of its finished batches.
        loss_sum: the sum of the losses of their tokens, in nats.
        tokens: the number of their tokens.
        epochs: the history of the finished epochs.
        steps: the history of the finished steps.
        best_value: the best value of ``train.monitor``; the last arrays of the checkpoint are that epoch's weights.
        best_epoch: the epoch with the best value of ``train.monitor``.
        environments: the distinct environments in which steps were trained, the latest last.
    """

    epoch: int = 1
    batch: int = 0
    loss_sum: float = 0.0
    tokens: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)
    best_value: float | None = None
    best_epoch: int = 0
    environments: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingResult:
    """The record of a training.

    Attributes:
        history: ``epochs`` and ``steps`` (losses in nats per token), and ``best_epoch``.
        environments: as in `TrainingState`.
        resumed: whether an earlier process trained a part.
    """

    history: dict[str, Any]
    environments: list[dict[str, Any]]
    resumed: bool


def train_model(
    seed: int,
    model: ModelConfig,
    train: TrainConfig,
    workspace: Workspace,
    checkpoints: Path,
    environment: dict[str, Any],
    on_epoch_end: EpochCallback,
    score_validation: ValidationScorer | None = None,
) -> TrainingResult:
    """Train a network, and write the weights of the best epoch by ``train.monitor``, the model's shape and the history.

    An interrupted training resumes from its checkpoint in ``checkpoints``, with the same weights and history. That of a
    finished training is kept and marked as finished: the model can be written again until DVC has committed it.

    Args:
        seed: of the initial weights, dropout, and the order of the batches.
        model: the network.
        train: backend, optimizer, regularisation and stopping.
        workspace: holds features and token ids, and receives the model.
        checkpoints: the folder of the checkpoint.
        environment: a JSON tree: the machine and the packages of this process.
        on_epoch_end: called after each epoch, also for those of earlier processes.
        score_validation: called after each epoch; necessary if ``train.monitor`` is one of its scores.

    Raises:
        UserError: features and captions are not of the same images, or the loss or a weight is not finite.
        KeyboardInterrupt: SIGINT or SIGTERM was received; a checkpoint is saved.
    """
    keras.utils.set_random_seed(seed)
    vocabulary = Vocabulary.read(workspace.vocabulary)
    training = _read_split("train", workspace, train.batch_size, seed, train.word_dropout)
    validation = _read_split("val", workspace, train.batch_size, seed)
    _, positions, channels = training.features_NxPxC.shape
    inputs = ModelInputs(positions, channels, read_extractor_identity(workspace.features), vocabulary.hash)
    network = Captioner(model, len(vocabulary), train.label_smoothing)
    network.build_for(positions, channels)
    optimizer = make_optimizer(train, len(training))
    optimizer.build(network.trainable_variables)
    network.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    trainer = Trainer(train, network, training, validation, CheckpointManager(checkpoints), score_validation)
    mark_unfinished(checkpoints)
    result = trainer.run(environment, on_epoch_end)
    save_model(network, model, inputs, workspace.model)
    text = json.dumps(result.history, indent=1, sort_keys=True)
    workspace.history.write_text(text + "\n", encoding="utf-8")
    mark_finished(checkpoints, workspace.model)
    return result


def _read_split(
    split: Split, workspace: Workspace, batch_size: int, seed: int, word_dropout: float = 0.0
) -> InputPipeline:
    captions = TokenizedCaptions.read(workspace.tokens / split)
    features_NxPxC = read_features(workspace.features, split)
    if len(features_NxPxC) != len(captions.counts_N):
        raise UserError(
            f"{split}: features of {len(features_NxPxC)} images, captions of {len(captions.counts_N)}; "
            "run `dvc repro -f prepare tokenize-adapt`"
        )
    return InputPipeline(features_NxPxC, captions, batch_size, seed, word_dropout)


class Trainer:
    """The training loop. It can stop and resume after any step."""

    def __init__(
        self,
        settings: TrainConfig,
        model: Captioner,
        training: InputPipeline,
        validation: InputPipeline,
        checkpoints: CheckpointManager,
        score_validation: ValidationScorer | None,
    ) -> None:
        self.settings = settings
        self.model = model
        self.training = training
        self.validation = validation
        self.checkpoints = checkpoints
        self.score_validation = score_validation
        self.state = TrainingState()
        self.best_weights = model.get_weights()
        self._saved_step = 0

    def run(self, environment: dict[str, Any], on_epoch_end: EpochCallback) -> TrainingResult:
        """Train until the last epoch or early stopping, and set the model's weights to those of the best epoch."""
        resumed = self._resume(environment)
        state = self.state
        first_step = 0
        for row in state.epochs:
            on_epoch_end(state.steps[first_step : int(row["step"])], row, None)
            first_step = int(row["step"])
        loss_column = TextColumn("loss {task.fields[loss]:.3f}")
        with progress_bar(loss_column) as progress, _catch_stop_signals() as stop:
            total = self.settings.epochs * len(self.training)
            task = progress.add_task("train", total=total, completed=len(state.steps), loss=float("nan"))
            while not self._finished():
                speed = self._train_epoch(lambda loss: progress.update(task, advance=1, loss=loss), stop)
                row = self._end_epoch()
                on_epoch_end(state.steps[-len(self.training) :], row, speed)
                progress.console.print(_describe_epoch(row, self.settings.monitor))
        self.model.set_weights(self.best_weights)
        history = {"best_epoch": state.best_epoch, "epochs": state.epochs, "steps": state.steps}
        return TrainingResult(history, state.environments, resumed)

    def _finished(self) -> bool:
        epochs = len(self.state.epochs)
        patience = self.settings.patience
        return epochs >= self.settings.epochs or bool(patience and epochs - self.state.best_epoch >= patience)

    def _train_epoch(self, on_step_end: Callable[[float], None], stop: threading.Event) -> float | None:
        """Train the rest of the current epoch, and return the speed of a whole epoch in captions per second."""
        state, model = self.state, self.model
        start, captions, is_whole = time.perf_counter(), 0, state.batch == 0
        for batch in islice(self.training.shuffled(state.epoch), state.batch, None):
            model.reset_metrics()
            logs = model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR, return_dict=True)
            loss = float(logs["loss"])
            if not np.isfinite(loss):
                raise self._divergence_error(f"loss became {loss}", len(state.steps) + 1)
            state.steps.append({"step": len(state.steps) + 1, "loss": loss})
            state.loss_sum += loss * batch.tokens
            state.tokens += batch.tokens
            state.batch += 1
            captions += batch.captions
            on_step_end(loss)
            if stop.is_set() or self.checkpoints.is_due():
                self._save_checkpoint()
            if stop.is_set():
                raise KeyboardInterrupt
        return captions / (time.perf_counter() - start) if is_whole else None

    def _end_epoch(self) -> dict[str, float]:
        """Validate, advance the state to the next epoch, and return the history of this one."""
        state = self.state
        val_loss, val_loss_word = validation_loss(self.model, self.validation)
        if not np.isfinite(val_loss):
            raise self._divergence_error(f"validation loss became {val_loss}", len(state.steps))
        row = {
            "epoch": state.epoch,
            "step": len(state.steps),
            "loss": state.loss_sum / state.tokens,
            "val_loss": val_loss,
            "val_loss_word": val_loss_word,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            **(self.score_validation(self.model) if self.score_validation else {}),
        }
        state.epochs.append(row)
        value = row[self.settings.monitor]
        if state.best_value is None or self._is_better(value, state.best_value):
            state.best_value, state.best_epoch = value, state.epoch
            self.best_weights = self.model.get_weights()
        state.epoch, state.batch, state.loss_sum, state.tokens = state.epoch + 1, 0, 0.0, 0
        if self.checkpoints.is_due() or self._finished():
            self._save_checkpoint()
        return row

    def _is_better(self, value: float, best: float) -> bool:
        return value > best if self.settings.monitor in SCORES else value < best

    def _variables(self) -> list[keras.Variable]:
        """Return everything that a step changes, including dropout's random state and the optimizer's moments."""
        return [*self.model.non_trainable_variables, *self.model.trainable_variables, *self.model.optimizer.variables]

    def _save_checkpoint(self) -> None:
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        # The loss of a step is computed before its update, so a finite loss does not imply finite weights.
        if not all(np.isfinite(array).all() for array in arrays):
            raise self._divergence_error("weights became infinite or NaN", len(self.state.steps))
        self.checkpoints.save([*arrays, *self.best_weights], asdict(self.state))
        self._saved_step = len(self.state.steps)

    def _divergence_error(self, problem: str, step: int) -> UserError:
        saved = f"step {self._saved_step} in {self.checkpoints.folder}" if self._saved_step else "none yet"
        return UserError(
            f"the {problem} in epoch {self.state.epoch}, step {step} (last good checkpoint: {saved}): "
            "try a lower train.learning_rate or a smaller train.clip_norm"
        )

    def _resume(self, environment: dict[str, Any]) -> bool:
        """Continue from the checkpoint, and return whether there is one."""
        checkpoint = self.checkpoints.restore()
        if checkpoint is None:
            self.state.environments = [environment]
            return False
        arrays, state = checkpoint
        variables = self._variables()
        for variable, value in zip(variables, arrays[: len(variables)], strict=True):
            variable.assign(value)
        self.best_weights = arrays[len(variables) :]
        self.state = TrainingState(**state)
        self._saved_step = len(self.state.steps)
        if self._finished():
            epochs = len(self.state.epochs)
            print(f"{epochs} finished epochs are in {self.checkpoints.folder}: the model is written again", flush=True)
            return True
        print(f"resuming at epoch {self.state.epoch}, batch {self.state.batch}", flush=True)
        self._enter(environment)
        return True

    def _enter(self, environment: dict[str, Any]) -> None:
        """Print how the environment differs from the one before the interruption, and make it the latest."""
        known = self.state.environments
        for line in describe_differences(known[-1], environment) if known else []:
            print(f"resuming in another environment: {line}", flush=True)
        self.state.environments = [*(other for other in known if other != environment), environment]


def _describe_epoch(row: dict[str, float], monitor: str) -> str:
    score = f"  {monitor} {row[monitor]:.4f}" if monitor in SCORES else ""
    return f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  val_loss {row['val_loss']:.4f} nats per token{score}"


@contextmanager
def _catch_stop_signals() -> Iterator[threading.Event]:
    """Provide an event that SIGINT (Ctrl-C) and SIGTERM (a scheduler) set, so that the current step can finish."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield stop
        return
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def validation_loss(model: Captioner, validation: InputPipeline) -> tuple[float, float]:
    """Return the cross entropy in nats per token (``<end>`` included) and per word (the same sum over words only)."""
    total = tokens = 0.0
    for batch in validation.in_order():
        model.reset_metrics()
        logs = model.test_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR, return_dict=True)
        total += float(logs["loss"]) * batch.tokens
        tokens += batch.tokens
    words = tokens - float(np.count_nonzero(validation.captions.ids == END))
    return total / tokens, total / words
