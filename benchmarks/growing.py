"""Growth: seconds a picture and memory of train and sample, with 1,000 and with 20,000 pictures of COCO's size.

    PYTHONPATH=src python benchmarks/growing.py

Each in a process of its own. Memory is what the process has for itself: the pages of the features' file, which the
system keeps or drops as it likes, are not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import made_up
from rows import Row, give, own_memory, within
from training import CHANNELS, POSITIONS

from captioner.backend import use_backend
from captioner.config import SPECIAL_TOKENS, check_params, read_params

VOCABULARY, WIDTH, WORDS = 1_000, 128, 11


def main() -> None:
    """Prints the rows, or with ``--one`` the seconds and the memory of one size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, nargs=2, default=[1_000, 20_000])
    parser.add_argument("--one", choices=["train", "sample"])
    options = parser.parse_args()
    if options.one:
        print(json.dumps(grow(options.one, options.pictures[0])))
        return
    few, many = options.pictures
    rows = []
    for work in ("train", "sample"):
        small, large = (measure(work, pictures) for pictures in (few, many))
        ratio = (large["seconds"] / many) / (small["seconds"] / few)
        what = f"{work}, a picture of {many}"
        rows.append(
            Row(what, large["seconds"] / many, "s", f"of {few}", small["seconds"] / few, ratio, 1.1, at_most=True)
        )
        rows.append(within(f"{work}, memory with {many} pictures", large["memory"], "MB", 4_000))
    give(rows)


def measure(work: str, pictures: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", work, "--pictures", str(pictures), "0"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def grow(work: str, pictures: int) -> dict[str, float]:
    """Seconds of one pass over all pictures, compiled before, and the peak of the memory in MB."""
    use_backend("tensorflow")
    import keras

    from captioner.decode.captions import make_search, write_captions
    from captioner.model.batches import Batches
    from captioner.model.fit import make_optimizer
    from captioner.model.network import Captioner
    from captioner.text.vocabulary import Vocabulary

    tree: dict[str, Any] = read_params().model_dump()
    tree["model"] |= dict.fromkeys(("attention_dim", "embedding_dim", "units"), WIDTH)
    tree["text"] |= {"vocab_size": VOCABULARY, "max_length": WORDS}
    tree["decode"] |= {"strategy": "beam", "beam_size": 3, "min_length": WORDS}
    params = check_params(tree)
    network = Captioner(params.model, VOCABULARY)
    network.build_for(POSITIONS, CHANNELS)
    network.compile(make_optimizer(params, 100), jit_compile=keras.backend.backend() == "jax")
    search = make_search(network, params.decode, WORDS)
    vocabulary = Vocabulary.of_words(f"w{number}" for number in range(VOCABULARY - len(SPECIAL_TOKENS)))

    def train(count: int) -> None:
        batches = Batches(features_NxPxC[:count], made_up.captions(count, VOCABULARY), params.train.batch_size)
        for batch in batches.shuffled(1):
            float(network.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))

    def sample(count: int) -> None:
        seeds = [(0, row) for row in range(count)]
        write_captions(search, vocabulary, features_NxPxC[:count], seeds, params.decode.batch_size)

    run = {"train": train, "sample": sample}[work]
    with TemporaryDirectory() as folder, PeakMemory() as peak:
        features_NxPxC = made_up.features(Path(folder) / "features.npy", pictures, POSITIONS, CHANNELS)
        run(min(pictures, 640))
        began = time.perf_counter()
        run(pictures)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "memory": peak.megabytes}


class PeakMemory:
    """Watches the process's own memory, twenty times a second."""

    def __enter__(self) -> PeakMemory:
        self.megabytes = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.megabytes = max(self.megabytes, own_memory())


if __name__ == "__main__":
    main()
