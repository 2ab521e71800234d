"""Chooses what Keras computes with. To be called before keras is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def use_backend(name: str, deterministic: bool = True) -> None:
    """Sets Keras's backend (``tensorflow`` or ``jax``), quiet, and deterministic unless told otherwise.

    Raises:
        RuntimeError: keras is imported already, with the other backend.
    """
    keras = sys.modules.get("keras")
    if keras and keras.config.backend() != name:
        raise RuntimeError(f"keras was imported before its backend was set to {name}")
    os.environ["KERAS_BACKEND"] = name
    if name == "jax":
        # On a GPU, autotuning could choose other kernels in another process.
        if deterministic:
            flags = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def _silent() -> Iterator[None]:
    """Sends the process's standard error nowhere: tensorflow talks before any setting of its log is read."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
