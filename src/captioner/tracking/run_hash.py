"""The run hash: a hash of everything that decides the trained weights, and of nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import yaml

from captioner.common.errors import UserError
from captioner.common.paths import STAGES, Workspace, resolve_in_repository
from captioner.config.params import DERIVED_KEYS, LOCATION_KEYS, NEUTRAL_KEYS, Params, flatten
from captioner.data.captions_table import SPLITS, read_captions_table
from captioner.data.config import is_weights_file

WEIGHTS_STAGES = STAGES[:3]  # the stages that decide the weights


def run_identity(params: Params, workspace: Workspace = Workspace()) -> dict[str, Any]:
    """Return everything that decides the weights, as it is in the workspace after ``tokenize-adapt``.

    Returns:
        A tree with the keys

        - ``params``: see `deciding_params`;
        - ``code``: see `code_hashes`, for the stages prepare, tokenize-adapt and train;
        - ``captions``: a hash of all splits, with image ids and file names;
        - ``pictures``: DVC's hash of the user's own folder of images. It is None for TFDS datasets and drawn scenes:
          their names and captions identify them;
        - ``extractor_weights``: see `extractor_weights_hash`.

    Raises:
        UserError: ``dvc.lock`` does not contain the user's folder.
    """
    return {
        "params": deciding_params(params),
        "code": code_hashes(workspace),
        "captions": _captions_hash(workspace.captions),
        "pictures": _locked_hash(workspace, params.data.watch) if params.data.path else None,
        "extractor_weights": extractor_weights_hash(params, workspace),
    }


def hash_identity(identity: dict[str, Any]) -> str:
    """Return the sha256 of a tree as canonical JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def preparation_hash(params: Params, workspace: Workspace = Workspace()) -> str:
    """Return a hash of everything that decides the features, except the content of the dataset.

    An interrupted ``prepare`` is resumed only from unfinished work with the same hash.
    """
    return hash_identity(
        {
            "params": params.data.model_dump(exclude={"data_dir", "watch"}),
            "code": code_hashes(workspace, STAGES[:1]),
            "extractor_weights": extractor_weights_hash(params, workspace),
        }
    )


def deciding_params(params: Params) -> dict[str, Any]:
    """Return the parameters that decide the weights, by full key (``model.units``), without paths of one machine.

    Keys with a default in their schema were added after the first runs were recorded. They are left out at their
    default, so that a new key does not change the hashes of recorded runs.
    """
    tree = params.model_dump(include={"seed", "data", "text", "model", "train"}, exclude_defaults=True)
    if is_weights_file(params.data.extractor.weights):
        tree["data"]["extractor"]["weights"] = "a file"
    ignored = {*LOCATION_KEYS, *DERIVED_KEYS, *NEUTRAL_KEYS}
    return {key: value for key, value in flatten(tree) if key not in ignored}


def code_hashes(workspace: Workspace, stages: tuple[str, ...] = WEIGHTS_STAGES) -> dict[str, str]:
    """Return the md5 of each source file that the stages depend on, by its path in the workspace."""
    all_stages = yaml.safe_load(workspace.dvc_yaml.read_text(encoding="utf-8"))["stages"]
    deps = {dep for name in stages for dep in all_stages[name]["deps"] if dep.startswith("src/")}
    files = {file for dep in deps for file in _source_files(workspace.root / dep)}
    return {file.relative_to(workspace.root).as_posix(): md5(file) for file in sorted(files)}


def tree_differences(recorded: dict[str, Any], rebuilt: dict[str, Any]) -> list[str]:
    """Return one line for each difference, such as ``params model.units: recorded 128, rebuilt 64``."""
    first, second = dict(flatten(recorded, separator=" ")), dict(flatten(rebuilt, separator=" "))
    return [
        f"{key}: recorded {_shorten(first.get(key))}, rebuilt {_shorten(second.get(key))}"
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    ]


def evaluation_set_hash(workspace: Workspace, split: str) -> str:
    """Return the sha256 of the image ids, file names and references of a split. It does not depend on their order.

    Scores can be compared only between captions of the same evaluation set.

    Raises:
        UserError: the split's table is missing or damaged.
    """
    table = read_captions_table(workspace.captions, split)
    rows = sorted(zip(table.image_ids, table.file_names, map(sorted, table.captions), strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def extractor_weights_hash(params: Params, workspace: Workspace) -> str | None:
    """Return the md5 of the CNN's weights file, or None for ImageNet's weights, which the parameters name."""
    weights = params.data.extractor.weights
    if weights == "builtin":
        return md5(workspace.builtin_weights)
    return md5(resolve_in_repository(str(weights))) if is_weights_file(weights) else None


def md5(file: Path) -> str:
    """Return the md5 of a file, which is also DVC's hash of it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_locked_stages(workspace: Workspace) -> dict[str, Any]:
    """Return the stages in ``dvc.lock``; none if there is no such file."""
    if not workspace.dvc_lock.exists():
        return {}
    stages: dict[str, Any] = yaml.safe_load(workspace.dvc_lock.read_text(encoding="utf-8")).get("stages", {})
    return stages


def _source_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def _captions_hash(folder: Path) -> str:
    """Hash the captions, not the files: a file's bytes depend on the version of the parquet library."""
    digest = hashlib.sha256()
    for split in SPLITS:
        if split != "test" or (folder / "test.parquet").exists():
            table = read_captions_table(folder, split)
            rows = [split, table.image_ids, table.file_names, table.captions]
            digest.update(json.dumps(rows, ensure_ascii=False).encode())
    return digest.hexdigest()


def _locked_hash(workspace: Workspace, path: str) -> str:
    """Return the hash in ``dvc.lock`` of a dependency of prepare; a folder can be too large to be read again."""
    for dep in read_locked_stages(workspace).get("prepare", {}).get("deps", []):
        if path in (dep["path"], os.path.abspath(workspace.root / dep["path"])):  # noqa: PTH100 (keeps links)
            return str(dep["md5"])
    raise UserError(f"dvc.lock does not contain {path}: run the stages with `dvc repro`")


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) < 20 else f"{text[:12]}…"
