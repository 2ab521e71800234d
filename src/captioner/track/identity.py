"""Which run this is: a hash of everything that decides the weights, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from captioner.config import Params, UserError, in_repository
from captioner.data.tables import SPLITS, read_captions

LOCK = Path("dvc.lock")
CAPTIONS = Path("data/prepared/captions")
BUILTIN_WEIGHTS = Path("src/captioner/assets/shapes_cnn.weights.h5")


def identify(params: Params, root: Path = Path()) -> dict[str, Any]:
    """Everything that decides the weights, as it lies in ``root`` once ``tokenize-adapt`` has run.

    ``params``: those of prepare, tokenize-adapt and train, without places on one machine. ``code``: md5 of each file
    that these stages depend on. ``captions``: of all splits, with ids and file names. ``pictures``: of a user's own
    folder, as DVC has hashed it; what TFDS or the project draws is told by its name and its captions.
    ``extractor_weights``: md5 of the file; ImageNet's are told by their name.
    """
    return {
        "params": deciding_params(params),
        "code": code_hashes(root, ("prepare", "tokenize-adapt", "train")),
        "captions": _captions_hash(root / CAPTIONS),
        "pictures": _locked(root, params.data.watch) if params.data.path else None,
        "extractor_weights": extractor_weights(params, root),
    }


def hash_of(identity: dict[str, Any]) -> str:
    """sha256 of the canonical JSON."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def prepare_hash(params: Params, root: Path = Path()) -> str:
    """A hash of what decides the features, the dataset aside: what an interrupted prepare is continued by."""
    return hash_of(
        {
            "params": params.data.model_dump(exclude={"data_dir", "watch"}),
            "code": code_hashes(root, ("prepare",)),
            "extractor_weights": extractor_weights(params, root),
        }
    )


def deciding_params(params: Params) -> dict[str, Any]:
    """The parameters that decide the weights, flat (``model.units``), without places on one machine."""
    places = {"data.data_dir", "data.path", "data.watch", "data.extractor.watch"}
    tree = params.model_dump(include={"seed", "data", "text", "model", "train"})
    if params.data.on_bad_image == "error":  # then it decides nothing, and older runs did not know it
        del tree["data"]["on_bad_image"]
    if _is_file(params.data.extractor.weights):
        tree["data"]["extractor"]["weights"] = "a file"
    return {key: value for key, value in flat(tree) if key not in places}


def code_hashes(root: Path, stages: tuple[str, ...]) -> dict[str, str]:
    """md5 of each source file that the stages depend on, by its path."""
    all_stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    deps = {dep for name in stages for dep in all_stages[name]["deps"] if dep.startswith("src/")}
    files = {file for dep in deps for file in _files(root / dep)}
    return {file.relative_to(root).as_posix(): md5(file) for file in sorted(files)}


def differences(recorded: dict[str, Any], rebuilt: dict[str, Any]) -> list[str]:
    """What differs, a line each: ``params model.units: recorded 128, rebuilt 64``."""
    one, two = dict(flat(recorded, separator=" ")), dict(flat(rebuilt, separator=" "))
    return [
        f"{key}: recorded {_short(one.get(key))}, rebuilt {_short(two.get(key))}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]


def flat(tree: dict[str, Any], prefix: str = "", separator: str = ".") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree with their paths."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}{separator}", separator)
        else:
            yield f"{prefix}{key}", value


def md5(file: Path) -> str:
    """As DVC hashes a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def _captions_hash(folder: Path) -> str:
    """Of the captions themselves: the file's bytes could change with the library that writes it."""
    digest = hashlib.sha256()
    for split in SPLITS:
        if split != "test" or (folder / "test.parquet").exists():
            table = read_captions(folder, split)
            rows = [split, table.image_ids, table.file_names, table.captions]
            digest.update(json.dumps(rows, ensure_ascii=False).encode())
    return digest.hexdigest()


def _locked(root: Path, path: str) -> str:
    """The hash by which DVC has recorded a dependency of prepare: a folder may be too large to read again."""
    lock = yaml.safe_load((root / LOCK).read_text(encoding="utf-8")) if (root / LOCK).exists() else {}
    for dep in lock.get("stages", {}).get("prepare", {}).get("deps", []):
        if (root / dep["path"]).resolve() == Path(path):
            return str(dep["md5"])
    raise UserError(f"dvc.lock does not know {path}: run the stages with `dvc repro`")


def extractor_weights(params: Params, root: Path) -> str | None:
    """md5 of the CNN's weights where they are a file; ImageNet's are told by their name."""
    weights = params.data.extractor.weights
    if weights == "builtin":
        return md5(root / BUILTIN_WEIGHTS)
    return md5(in_repository(str(weights))) if _is_file(weights) else None


def _is_file(weights: str | None) -> bool:
    return weights not in (None, "imagenet", "builtin")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 20 else f"{text[:12]}…"
