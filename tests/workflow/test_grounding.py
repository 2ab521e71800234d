"""Whether the captions come from the pictures: the trained network with the features of other pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from repository import compose, make_repo, run

from captioner.config import read_params
from captioner.data.tables import read_captions, read_features
from captioner.decode.captions import make_search, write_captions
from captioner.model.store import read_model
from captioner.score.metrics import score_captions
from captioner.text.vocabulary import Vocabulary


@pytest.mark.slow
def test_shuffled_features_make_the_scores_collapse(tmp_path: Path, datasets: Path) -> None:
    repo = make_repo(tmp_path)
    compose(repo, "train.epochs=6", f"data.data_dir={datasets}")
    run(repo, "dvc", "repro", "train")
    params = read_params(repo / "params.yaml")
    table = read_captions(repo / "data/prepared/captions", "val")
    features_NxPxC = np.asarray(read_features(repo / "data/prepared/features", "val"))
    network, _ = read_model(repo / "models/captioner")
    search = make_search(network, params.decode, params.text.max_length)
    vocabulary = Vocabulary.read(repo / "data/tokens/vocabulary.txt")
    references = dict(zip(table.image_ids, table.captions, strict=True))

    def cider(order_N: np.ndarray) -> float:
        seeds = [(0,)] * len(table)
        captions = write_captions(search, vocabulary, features_NxPxC[order_N], seeds, params.decode.batch_size)
        texts = [caption.text for caption in captions]
        return score_captions(dict(zip(table.image_ids, texts, strict=True)), references).metrics["cider"]

    own = cider(np.arange(len(table)))
    others = cider(np.roll(np.arange(len(table)), 1))
    assert own > 2
    assert others < own / 3
