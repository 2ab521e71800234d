"""What a caption costs over HTTP, beside the bare CNN: milliseconds a picture, one at a time and 64 a request.

    captioner promote
    PYTHONPATH=src python benchmarks/serve.py [PICTURES]

Starts `mlflow models serve` with the champion. PICTURES is a folder; without it, the workspace's validation pictures.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from captioner.backend import use_backend
from captioner.config import read_params
from captioner.data.pictures import picture_bytes

PORT = 5077
ADDRESS = f"http://127.0.0.1:{PORT}"
BATCH = 64
SERVE = ["mlflow", "models", "serve", "-m", "models:/captioner@champion", "--env-manager", "local", "-p", str(PORT)]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", nargs="?", type=Path, default=Path("data/prepared/pictures/val"))
    paths = sorted(path for path in parser.parse_args().pictures.iterdir() if path.is_file())
    paths = (paths * BATCH)[:BATCH]
    one, many = over_http(paths)
    bare_one, bare_many = bare_cnn(paths)
    print(f"{'milliseconds a picture':24} {'bare CNN':>9} {'over HTTP':>10} {'ratio':>6}")
    for name, bare, served in (("one a request", bare_one, one), (f"{BATCH} a request", bare_many, many)):
        print(f"{name:24} {1000 * bare:9.1f} {1000 * served:10.1f} {served / bare:6.2f}")
    print(f"one at a time: {1000 * one:.0f} ms a caption; {BATCH} a request: {1 / many:.1f} captions a second")


def over_http(paths: list[Path]) -> tuple[float, float]:
    """Seconds a picture of requests of one picture, and of `BATCH`."""
    pictures = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    server = subprocess.Popen(SERVE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers():
            if server.poll() is not None:
                sys.exit(f"`{' '.join(SERVE)}` ended: is there a champion? `captioner promote`")
            time.sleep(0.5)
        turns = iter(range(10**9))
        return median_of(30, lambda: ask([pictures[next(turns) % BATCH]])), median_of(7, lambda: ask(pictures)) / BATCH
    finally:
        server.terminate()


def bare_cnn(paths: list[Path]) -> tuple[float, float]:
    """Seconds a picture of the CNN's forward pass alone, pictures decoded and resized."""
    params = read_params()
    use_backend("tensorflow")
    import tensorflow as tf

    from captioner.data.extractors import Extractor

    extractor = Extractor(params.data.extractor)
    squares_BxSxSx3 = tf.stack([extractor.square(picture_bytes(path)) for path in paths])
    one, many = squares_BxSxSx3[:1], squares_BxSxSx3
    return median_of(30, lambda: extractor.features(one)), median_of(7, lambda: extractor.features(many)) / BATCH


def ask(pictures: list[str]) -> None:
    requests.post(f"{ADDRESS}/invocations", json={"inputs": pictures}, timeout=600).raise_for_status()


def answers() -> bool:
    try:
        return requests.get(f"{ADDRESS}/ping", timeout=5).ok
    except requests.ConnectionError:
        return False


def median_of(turns: int, work: Callable[[], object]) -> float:
    """The median of the seconds that ``work`` takes, after it has been done once."""
    work()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
