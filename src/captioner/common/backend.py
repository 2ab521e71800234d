"""The choice of the library that Keras computes with. It must be made before keras is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def use_backend(name: str, deterministic: bool = True) -> None:
    """Set Keras's backend (``tensorflow`` or ``jax``), without log output, and deterministic unless disabled.

    Keras's other settings become its defaults, so that a user's ``~/.keras/keras.json`` cannot change a result.

    Raises:
        RuntimeError: keras was already imported with the other backend.
    """
    imported = sys.modules.get("keras")
    if imported and imported.config.backend() != name:
        raise RuntimeError(f"keras was imported before its backend was set to {name}")
    os.environ |= {"KERAS_BACKEND": name, "KERAS_NNX_ENABLED": "false"}
    if name == "jax":
        _set_up_jax(deterministic)
    else:
        _set_up_tensorflow(deterministic)
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _set_up_jax(deterministic: bool) -> None:
    # On a GPU, autotuning could choose other kernels in another process.
    if deterministic:
        flags = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


def _set_up_tensorflow(deterministic: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _discard_standard_error():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def used_device() -> str:
    """Return the name of the GPU that the backend computes with, or ``CPU``; call `use_backend` first."""
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        first = jax.devices()[0]
        return "CPU" if first.platform == "cpu" else str(first.device_kind)
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


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
