"""The user's folder of images in dvc.lock: without a path of one machine, through a link or a remote of DVC."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from helpers.images import encode_image
from helpers.repository import ROOT, commit, compose, make_repo, run

from captioner.common.errors import UserError
from captioner.common.paths import Workspace, resolve_in_repository, watched_path
from captioner.config import compose as composition
from captioner.config.params import check_params, read_params
from captioner.tracking.run_hash import run_identity


def write_photos(folder: Path) -> Path:
    """Write three photos with their JSON."""
    folder.mkdir(parents=True)
    entries = []
    for number, split in enumerate(("train", "train", "val")):
        (folder / f"{number}.png").write_bytes(encode_image("PNG", size=(9 + number, 9)))
        sentences = [{"raw": f"a red thing {number}"}]
        entries.append({"filename": f"{number}.png", "imgid": number, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": entries}))
    return folder


def test_links_in_a_users_path_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path = f"{tmp_path}/x/../link"
    params = check_params(yaml.safe_load(composition.compose(["data=karpathy", f"data.path={path}"], ROOT)))
    assert params.data.watch == f"{tmp_path}/link"
    assert str(resolve_in_repository(path)) == params.data.watch


def test_relative_path_that_dvc_watches_starts_at_the_given_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert watched_path("photos") == f"{tmp_path}/photos"
    assert watched_path("x/../photos", Path("/data")) == "/data/photos"
    assert watched_path("/photos", Path("/data")) == "/photos"
    assert watched_path("remote://mine/photos", Path("/data")) == "remote://mine/photos"


def test_unknown_remote_is_an_error_of_one_line() -> None:
    with pytest.raises(UserError, match="dvc remote add --global nowhere FOLDER"):
        resolve_in_repository("remote://nowhere/photos")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["link", "remote"])
def test_lock_of_one_machine_holds_on_another(kind: str, tmp_path: Path) -> None:
    """The folder lies elsewhere on the second machine; a link, or the user's configuration of DVC, leads to it."""
    repo, link, config = (
        make_repo(tmp_path / "repo"),
        tmp_path / "link",
        {"DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "dvc")},
    )
    path = f"{link}/photos" if kind == "link" else "remote://mine/photos"

    def move_to(machine: Path) -> None:
        if kind == "link":
            link.unlink(missing_ok=True)
            link.symlink_to(machine)
        else:
            run(repo, "dvc", "remote", "add", "--force", "--global", "mine", str(machine), **config)

    move_to(write_photos(tmp_path / "first/photos").parent)
    compose(
        repo, "data=karpathy", f"data.path={path}", "data.extractor.name=shapes_cnn", "data.extractor.weights=builtin"
    )
    run(repo, "dvc", "repro", "tokenize-adapt", **config)
    assert str(tmp_path / "first") not in (repo / "dvc.lock").read_text() + (repo / "params.yaml").read_text()
    assert run_identity(read_params(repo / "params.yaml"), Workspace(repo))["pictures"].endswith(".dir")
    commit(repo, "prepared")
    shutil.move(tmp_path / "first", tmp_path / "second")
    move_to(tmp_path / "second")
    assert "Running stage" not in run(repo, "dvc", "repro", "tokenize-adapt", **config)
    (tmp_path / "second/photos/0.png").write_bytes(encode_image("PNG", size=(20, 9)))
    printed = run(repo, "dvc", "exp", "run", "--temp", "tokenize-adapt", **config)
    assert "Running stage 'prepare'" in printed, "a changed photo is noticed, also from a copy of the repository"
