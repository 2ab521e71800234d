"""COCO-sized work on one GPU: an epoch of training and 5,000 captions, on jax, without tensorflow.

    PYTHONPATH=src python benchmarks/gpu.py

Features and captions are made up (113,287 pictures of 64 x 1536 float16, five captions each): 22 GB on the disk. The
first epoch compiles; the second one counts. With ``--pictures 500`` it can be tried on any machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import made_up
import numpy as np
from decoding import seconds_to_caption
from rows import Row, give, within
from training import CHANNELS, POSITIONS, matrix_peak, operations

from captioner.backend import use_backend
from captioner.config import Params, check_params, read_params

SETTINGS = ("deterministic", "free", "resident")  # the last one deterministic too, its features on the GPU


def main() -> None:
    """Prints the rows, or with ``--one`` what one setting takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=113_287)
    parser.add_argument("--sampled", type=int, default=5_000)
    parser.add_argument("--batch", type=int, default=256, help="pictures a step, with five captions each")
    parser.add_argument("--vocab-size", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="for the features; a temporary one otherwise")
    parser.add_argument("--one", choices=SETTINGS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options)))
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        made_up.features(Path(folder) / "features.npy", options.pictures, POSITIONS, CHANNELS)
        found = {}
        for name in SETTINGS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", name, "--folder", folder]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[name] = json.loads(printed.splitlines()[-1])
    fixed, free, resident = (found[name] for name in SETTINGS)
    give(
        [
            within(f"an epoch of {options.pictures} pictures, features streamed", fixed["epoch"], "s", 10),
            within("an epoch, features resident on the GPU", resident["epoch"], "s", 10),
            within(f"{options.sampled} captions, beam of 3", fixed["captions"], "s", 5),
            Row("an epoch, deterministic", fixed["epoch"], "s", "not", free["epoch"], fixed["epoch"] / free["epoch"]),
            *(
                Row(
                    f"an epoch, features {where}, share of the peak",
                    of["rate"],
                    "flop/s",
                    "peak",
                    of["peak"],
                    of["share"],
                )
                for where, of in (("streamed", fixed), ("resident", resident))
            ),
        ]
    )


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of an epoch and of the captions, and the rate beside the peak."""
    use_backend("jax", deterministic=options.one != "free")
    import jax

    features_NxPxC = np.load(options.folder / "features.npy", mmap_mode="r")
    params = coco_params(options)
    epoch, needed = train(params, jax.device_put(features_NxPxC) if options.one == "resident" else features_NxPxC)
    options.backend = "jax"
    captions = seconds_to_caption(options, features_NxPxC[: options.sampled], options.vocab_size, "beam")
    peak = matrix_peak()
    rate = needed / epoch
    return {"epoch": epoch, "captions": captions, "peak": peak, "rate": rate, "share": rate / peak}


def coco_params(options: argparse.Namespace) -> Params:
    """The defaults, at the sizes of the options."""
    tree = read_params().model_dump()
    tree["text"] |= {"vocab_size": options.vocab_size, "max_length": 62}
    tree["model"] |= dict.fromkeys(("attention_dim", "embedding_dim", "units"), options.width)
    tree["train"] |= {"backend": "jax", "batch_size": options.batch}
    return check_params(tree)


def train(params: Params, features_NxPxC: Any) -> tuple[float, float]:
    """Seconds of the second epoch, and the operations that it needs."""
    import keras

    from captioner.model.batches import Batches
    from captioner.model.fit import make_optimizer
    from captioner.model.network import Captioner

    keras.utils.set_random_seed(0)
    captions = made_up.captions(len(features_NxPxC), params.text.vocab_size)
    batches = Batches(features_NxPxC, captions, params.train.batch_size)
    model = Captioner(params.model, params.text.vocab_size, params.train.label_smoothing)
    model.build_for(POSITIONS, CHANNELS)
    model.compile(make_optimizer(params, len(batches)), jit_compile=True)
    for _ in range(2):
        began = time.perf_counter()
        for batch in batches.shuffled(1):
            float(model.train_on_batch(batch.inputs, batch.targets_XxR, batch.weights_XxR))
        seconds = time.perf_counter() - began
    return seconds, operations(params, len(features_NxPxC), len(captions.ids))


if __name__ == "__main__":
    main()
