"""Input of every kind, damaged at random: each is accepted, or rejected with an error of one line.

`make test` tries one hundred examples of each kind, the same every time. `make fuzz` tries new ones for ten minutes.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.commands import score_files
from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import check_params, read_params
from captioner.data.captions_table import CaptionsTable, write_captions_table
from captioner.data.datasets.karpathy import read_karpathy_folder
from captioner.data.images import to_upright_rgb
from captioner.serving.inputs import read_input_image
from captioner.text.adapt import tokenize_adapt
from captioner.text.config import TextConfig
from captioner.text.tokenizer import BRACKETS, ptb_tokenize
from captioner.text.vocabulary import SPECIAL_TOKENS, Vocabulary

MODES = ("RGB", "L", "P", "CMYK", "RGBA", "I;16", "1", "LA", "F")
PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
DATASET = {
    "images": [
        {"filename": f"{n}.png", "filepath": "", "split": s, "cocoid": n, "sentences": [{"raw": "A dog.", "sentid": n}]}
        for n, s in enumerate(("train", "val", "restval", "test"))
    ]
}
RESULTS = [{"image_id": n, "caption": "a dog runs"} for n in range(3)]
REFERENCES = {"annotations": [{"id": n, "image_id": n % 3, "caption": "A dog runs."} for n in range(6)]}

texts = st.text(st.characters(exclude_categories=()))  # includes lone surrogates
numbers = st.integers() | st.floats() | st.sampled_from([2**63, 2**70, 1e308])
names = st.sampled_from(
    ["", " ", ".", "..", "../x", "/etc", "\x00", "$x^$", "%s{}", "A. B.", "word " * 2000, "x" * 5000]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@contextmanager
def expect_one_line() -> Iterator[None]:
    """Fail on any error except a `UserError` of one line."""
    try:
        yield
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@cache
def image_files() -> list[bytes]:
    """Return a small image in every format and mode that Pillow writes."""
    Image.init()
    noise_HxWx3 = np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8)
    files = []
    for name in Image.SAVE:
        for mode in MODES:
            buffer = io.BytesIO()
            with suppress(Exception):  # no format supports all modes
                Image.fromarray(noise_HxWx3).convert("L" if mode == "I;16" else "RGB").convert(mode).save(buffer, name)
                files.append(buffer.getvalue())
    return files


@st.composite
def damaged(draw: st.DrawFn, intact: st.SearchStrategy[bytes]) -> bytes:
    """Change, drop, repeat or insert some bytes, often near the start, where headers are."""
    content = draw(intact)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, min(len(content), 64)) | st.integers(0, len(content)))
        before, after = content[:position], content[position:]
        length = draw(st.integers(1, 40))
        new = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]))
        options = (before + new + after[len(new) :], before + after[length:], before + after[:length] + after, before)
        content = draw(st.sampled_from(options))
    return content


@st.composite
def altered(draw: st.DrawFn, tree: Any) -> Any:
    """Return the tree with one or two values or keys changed or removed."""
    result = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        node, key = draw(st.sampled_from(_list_locations(result)))
        match draw(st.sampled_from(["value", "value", "key", "removed"])):
            case "key" if isinstance(node, dict):
                node[draw(st.sampled_from([f"{key}s", "x", ""]) | texts)] = node.pop(key)
            case "removed":
                del node[key]
            case _:
                node[key] = draw(values)
        if not result:
            break
    return result


def _list_locations(tree: Any) -> list[tuple[Any, Any]]:
    """Return the location of every value in the tree: the dictionary or list that contains it, and its key or index."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [location for key, value in items for location in ((tree, key), *_list_locations(value))]


def json_files(tree: Any) -> st.SearchStrategy[bytes]:
    """Return JSON files: valid, with an altered tree, or damaged."""
    content = st.just(tree) | altered(tree)
    files = content.map(lambda tree: json.dumps(tree).encode())
    return files | damaged(files)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz")
    for number in range(4):
        Image.new("RGB", (8, 8)).save(path / f"{number}.png")
    return path


@given(content=damaged(st.deferred(lambda: st.sampled_from(image_files()))))
@pytest.mark.filterwarnings("ignore")
def test_image_files(content: bytes) -> None:
    """Read images as ``prepare`` does: with Pillow, then with tensorflow."""
    from captioner.data.extractors import decode_image

    with expect_one_line():
        decode_image(to_upright_rgb(content, "it"), "it")


@given(value=damaged(st.deferred(lambda: st.sampled_from(image_files()))) | values)
@pytest.mark.filterwarnings("ignore")
def test_images_sent_to_the_service(value: Any) -> None:
    with expect_one_line():
        read_input_image(value)


@given(content=json_files(DATASET), skip=st.booleans())
def test_json_of_a_folder(content: bytes, skip: bool, folder: Path) -> None:
    (folder / "dataset.json").write_bytes(content)
    with expect_one_line():
        read_karpathy_folder(folder, skip)


words = st.sampled_from([*SPECIAL_TOKENS, "[UNK]", "(", "...", "a dog", "שלום", "\x1b[2J"]) | st.text(max_size=5)


@given(captions=st.lists(st.lists(words).map(" ".join), min_size=1, max_size=4), vocab_size=st.integers(5, 60))
def test_captions(captions: list[str], vocab_size: int, folder: Path) -> None:
    """Read captions as ``tokenize-adapt`` does, and check that the vocabulary file holds their words."""
    workspace = Workspace(folder)
    for split in ("train", "val"):
        write_captions_table(workspace.captions, split, CaptionsTable([1], ["1.png"], [captions]))
    with expect_one_line():
        vocabulary = tokenize_adapt(TextConfig(vocab_size=vocab_size, max_length=9), workspace)
        assert Vocabulary.read(workspace.vocabulary) == vocabulary
        special = {*SPECIAL_TOKENS, *BRACKETS.values()}
        distinct = {word for caption in captions for word in ptb_tokenize(caption)} - special
        assert set(vocabulary.tokens[len(SPECIAL_TOKENS) :]) <= distinct
        assert len(vocabulary) == min(vocab_size, len(SPECIAL_TOKENS) + len(distinct))


@given(tree=altered(PARAMS))
def test_parameter_trees(tree: Any) -> None:
    with expect_one_line():
        check_params(tree)


@given(content=damaged(st.just(yaml.safe_dump(PARAMS).encode())))
def test_params_yaml_files(content: bytes, folder: Path) -> None:
    (folder / "params.yaml").write_bytes(content)
    with expect_one_line():
        read_params(folder / "params.yaml")


@pytest.fixture(scope="module")
def _without_java() -> Iterator[None]:
    """Hide Java, because METEOR takes a second per example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        yield


@given(captions=json_files(RESULTS), references=json_files(REFERENCES), split=st.sampled_from([None, None, "val"]))
@pytest.mark.usefixtures("_without_java")
def test_files_of_captioner_score(captions: bytes, references: bytes, split: str | None, folder: Path) -> None:
    (folder / "hyps.json").write_bytes(captions)
    (folder / "refs.json").write_bytes(references)
    with expect_one_line(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        score_files(folder / "hyps.json", folder / "refs.json", split, as_json=False)
