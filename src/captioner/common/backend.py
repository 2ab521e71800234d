"""The choice of the library that Keras computes with. It must be made before keras is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def use_backend(name: str, deterministic: bool = True) -> None:
    """Set Keras's backend (``tensorflow`` or ``jax``), without log output, and deterministic unless disabled.

    Raises:
        RuntimeError: keras was already imported with the other backend.
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
    with _discard_standard_error():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def _discard_standard_error() -> Iterator[None]:
    """Discard the process's standard error: tensorflow writes to it before it reads any log setting."""
    saved = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
