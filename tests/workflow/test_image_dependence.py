"""Captions depend on the images: with the features of other images, the scores collapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.repository import compose, make_repo, run

from captioner.common.paths import Workspace
from captioner.config.params import read_params
from captioner.data.captions_table import read_captions_table
from captioner.data.features import read_features
from captioner.decode.generate import generate_captions, make_strategy
from captioner.model.saving import load_model
from captioner.score.metrics import score_captions
from captioner.text.vocabulary import Vocabulary


@pytest.mark.slow
def test_features_of_other_images_make_scores_collapse(tmp_path: Path, datasets: Path) -> None:
    repo = make_repo(tmp_path)
    compose(repo, "train.epochs=6", f"data.data_dir={datasets}")
    run(repo, "dvc", "repro", "train")
    workspace = Workspace(repo)
    params = read_params(workspace.params)
    table = read_captions_table(workspace.captions, "val")
    features_NxPxC = np.asarray(read_features(workspace.features, "val"))
    network, _ = load_model(workspace.model)
    search = make_strategy(network, params.decode, params.text.max_length)
    vocabulary = Vocabulary.read(workspace.vocabulary)
    references = dict(zip(table.image_ids, table.captions, strict=True))

    def compute_cider(order_N: np.ndarray) -> float:
        seeds = [(0,)] * len(table)
        captions = generate_captions(search, vocabulary, features_NxPxC[order_N], seeds, params.decode.batch_size)
        texts = [caption.text for caption in captions]
        return score_captions(dict(zip(table.image_ids, texts, strict=True)), references).metrics["cider"]

    correct = compute_cider(np.arange(len(table)))
    shifted = compute_cider(np.roll(np.arange(len(table)), 1))
    assert correct > 2
    assert shifted < correct / 3
