"""The optimizer and its learning rate schedule."""

from __future__ import annotations

import keras

from captioner.train.config import TrainConfig


def make_optimizer(train: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019) with linear warm-up, then a constant rate or a cosine decay to 0."""
    warmup_steps = round(train.warmup_epochs * steps_per_epoch)
    total_steps = train.epochs * steps_per_epoch
    learning_rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else train.learning_rate,
        decay_steps=max(1, total_steps - warmup_steps),
        alpha=1.0 if train.schedule == "constant" else 0.0,
        warmup_target=train.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(
        learning_rate, weight_decay=train.weight_decay, global_clipnorm=train.clip_norm, name="adamw"
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
