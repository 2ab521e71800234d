"""Which run this is: a hash of everything that decides the weights, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from captioner.config import Params

STAGES = ("prepare", "tokenize-adapt", "train")


def run_hash(params: Params, root: Path = Path()) -> str:
    """sha256 of the canonical JSON of what the stages up to ``train`` depend on: parameters, code, source data.

    What one stage writes for the next follows from these, and paths of one machine say nothing, so neither counts.
    """
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    made = [out for stage in stages.values() for out in stage.get("outs", []) if isinstance(out, str)]
    code = sorted({dep for name in STAGES for dep in stages[name]["deps"]} - set(made))
    identity = {
        "params": _deciding(params),
        "code": {dep: content_hash(root / dep) for dep in code if not dep.startswith("${")},
        "pictures": _watched(root, params.data.watch),
        "weights": _watched(root, params.data.extractor.watch),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def content_hash(path: Path) -> str:
    """md5 of a file, or of the names and contents of all files in a folder; caches of Python do not count."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    digest = hashlib.md5(usedforsecurity=False)
    for file in sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{file.relative_to(path).as_posix()} {content_hash(file)}\n".encode())
    return digest.hexdigest()


def _deciding(params: Params) -> dict[str, Any]:
    """The parameters that decide the weights, without places on one machine."""
    tree = params.model_dump(include={"seed", "data", "text", "model", "train"})
    for key in ("data_dir", "path", "watch"):
        del tree["data"][key]
    del tree["data"]["extractor"]["watch"]
    if params.data.extractor.weights not in (None, "imagenet", "builtin"):
        tree["data"]["extractor"]["weights"] = "a file"
    return tree


def _watched(root: Path, watch: str) -> str:
    """The content hash of the user's folder or file: DVC's own where it is recorded, for a folder may be large."""
    lock = root / "dvc.lock"
    if lock.exists():
        prepare = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}).get("prepare", {})
        for dep in prepare.get("deps", []):
            if dep["path"] == watch:
                return str(dep["md5"])
    return content_hash(root / watch)
