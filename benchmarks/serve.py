"""Measure captions over HTTP: milliseconds per image, 1 and 64 per request; the baseline is the CNN alone.

    captioner promote
    PYTHONPATH=src python benchmarks/serve.py [FOLDER]

Starts `mlflow models serve` with the champion. FOLDER holds images; the default is the workspace's validation images.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import subprocess
import sys
import time
from pathlib import Path

import requests
from measure import measure_seconds

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.config.params import read_params
from captioner.data.images import read_image

PORT = 5077
ADDRESS = f"http://127.0.0.1:{PORT}"
BATCH_SIZE = 64
SERVER = ["mlflow", "models", "serve", "-m", "models:/captioner@champion", "--env-manager", "local", "-p", str(PORT)]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Workspace().images / "val")
    paths = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_file())
    paths = (paths * BATCH_SIZE)[:BATCH_SIZE]
    single, batch = measure_http(paths)
    cnn_single, cnn_batch = measure_cnn(paths)
    print(f"{'milliseconds per image':24} {'CNN alone':>9} {'over HTTP':>10} {'ratio':>6}")
    for name, cnn, http in (("1 per request", cnn_single, single), (f"{BATCH_SIZE} per request", cnn_batch, batch)):
        print(f"{name:24} {1000 * cnn:9.1f} {1000 * http:10.1f} {http / cnn:6.2f}")
    print(f"1 per request: {1000 * single:.0f} ms per caption; {BATCH_SIZE} per request: {1 / batch:.1f} captions/s")


def measure_http(paths: list[Path]) -> tuple[float, float]:
    """Return the seconds per image with one image per request, and with `BATCH_SIZE`."""
    images = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    server = subprocess.Popen(SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_ready():
            if server.poll() is not None:
                sys.exit(f"`{' '.join(SERVER)}` ended: `captioner promote` makes a champion")
            time.sleep(0.5)
        cycle = itertools.cycle(images)
        single = measure_seconds(lambda: request_captions([next(cycle)]), 30)
        return single, measure_seconds(lambda: request_captions(images), 7) / BATCH_SIZE
    finally:
        server.terminate()


def measure_cnn(paths: list[Path]) -> tuple[float, float]:
    """Return the seconds per image of the CNN alone, on decoded and resized images."""
    params = read_params()
    use_backend("tensorflow")
    import tensorflow as tf

    from captioner.data.extractors import Extractor

    extractor = Extractor(params.data.extractor)
    squares_BxSxSx3 = tf.stack([extractor.decode_and_resize(read_image(path)) for path in paths])
    single = measure_seconds(lambda: extractor.extract(squares_BxSxSx3[:1]), 30)
    return single, measure_seconds(lambda: extractor.extract(squares_BxSxSx3), 7) / BATCH_SIZE


def request_captions(images: list[str]) -> None:
    requests.post(f"{ADDRESS}/invocations", json={"inputs": images}, timeout=600).raise_for_status()


def is_ready() -> bool:
    try:
        return requests.get(f"{ADDRESS}/ping", timeout=5).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()
