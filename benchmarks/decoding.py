"""Captioning: seconds a picture with cached features, beside the recipe, which captions one picture and word at a time.

    PYTHONPATH=src python benchmarks/decoding.py

Nothing is trained, so no search would end by itself: all captions have as many words as one of COCO has on average,
on both sides.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import made_up
import numpy as np
from rows import faster, give, seconds_of, within
from training import CHANNELS, POSITIONS

from captioner.backend import use_backend
from captioner.config import SPECIAL_TOKENS, check_params, read_params

WORDS = 11


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab-size", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--pictures", type=int, default=256, help="for the comparison with the recipe")
    parser.add_argument("--many", type=int, default=5_000, help="for the beam of 3, with a vocabulary of 10,000")
    parser.add_argument("--backend", default="tensorflow", choices=["tensorflow", "jax"])
    options = parser.parse_args()
    use_backend(options.backend)
    with TemporaryDirectory() as folder:
        features_NxPxC = made_up.features(Path(folder) / "features.npy", options.many, POSITIONS, CHANNELS)
        few = features_NxPxC[: options.pictures]
        drawn, beam = (
            seconds_to_caption(options, few, options.vocab_size, strategy) / len(few) for strategy in ("top_k", "beam")
        )
        many = seconds_to_caption(options, features_NxPxC, 10_000, "beam")
    recipe = recipe_caption(options)
    give(
        [
            faster("captioning, top-k, a picture", drawn, "s", "the recipe", recipe, 100),
            faster("captioning, beam of 3, a picture", beam, "s", "the recipe", recipe, 60),
            within(f"captioning {options.many} pictures, beam of 3", many, "s", 60 * options.many / 5_000),
        ]
    )


def seconds_to_caption(
    options: argparse.Namespace, features_NxPxC: np.ndarray, vocab_size: int, strategy: str
) -> float:
    """Seconds for all pictures, once everything is compiled."""
    from captioner.decode.captions import make_search, write_captions
    from captioner.model.network import Captioner
    from captioner.text.vocabulary import Vocabulary

    tree: dict[str, Any] = read_params().model_dump()
    tree["model"] |= dict.fromkeys(("attention_dim", "embedding_dim", "units"), options.width)
    tree["model"] |= {"tie_embeddings": False, "initial_state": "zeros"}
    tree["text"] |= {"vocab_size": vocab_size, "max_length": WORDS}
    tree["decode"] |= {"strategy": strategy, "beam_size": 3, "top_k": 10, "min_length": WORDS}
    params = check_params(tree)
    network = Captioner(params.model, vocab_size)
    network.build_for(POSITIONS, CHANNELS)
    search = make_search(network, params.decode, params.text.max_length)
    vocabulary = Vocabulary.of_words(f"w{number}" for number in range(vocab_size - len(SPECIAL_TOKENS)))
    seeds = [(0, row) for row in range(len(features_NxPxC))]
    size = params.decode.batch_size
    write_captions(search, vocabulary, features_NxPxC[:size], seeds[:size], size)
    began = time.perf_counter()
    write_captions(search, vocabulary, features_NxPxC, seeds, size)
    return time.perf_counter() - began


def recipe_caption(options: argparse.Namespace) -> float:
    """Seconds of the recipe for a picture."""
    import keras
    import seed_recipe

    cnn = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(299, 299, 3))
    _, encoder, decoder = seed_recipe.recipe(cnn, options.vocab_size, options.width)
    random = np.random.default_rng(0)
    picture_SxSx3 = random.random((299, 299, 3), np.float32)
    return seconds_of(lambda: seed_recipe.caption(encoder, decoder, picture_SxSx3, WORDS, random), turns=5)


if __name__ == "__main__":
    main()
