"""Whatever comes in is taken, or refused in one line: input of every kind, damaged at random.

`make test` tries a hundred of each kind, always the same; `make fuzz` goes on for ten minutes with new ones.
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

from captioner.config import SPECIAL_TOKENS, Text, UserError, check_params, read_params
from captioner.data.karpathy import read_album
from captioner.data.pictures import upright_bytes
from captioner.data.tables import CaptionTable, write_captions
from captioner.judge import score_files
from captioner.service.pictures import read_picture
from captioner.text.tokenize import tokenize_adapt
from captioner.text.vocabulary import Vocabulary
from captioner.text.words import BRACKETS, ptb_words

MODES = ("RGB", "L", "P", "CMYK", "RGBA", "I;16", "1", "LA", "F")
PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
ALBUM = {
    "images": [
        {"filename": f"{n}.png", "filepath": "", "split": s, "cocoid": n, "sentences": [{"raw": "A dog.", "sentid": n}]}
        for n, s in enumerate(("train", "val", "restval", "test"))
    ]
}
RESULTS = [{"image_id": n, "caption": "a dog runs"} for n in range(3)]
REFERENCES = {"annotations": [{"id": n, "image_id": n % 3, "caption": "A dog runs."} for n in range(6)]}

texts = st.text(st.characters(exclude_categories=()))  # half characters (lone surrogates) too
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
def one_line() -> Iterator[None]:
    """Holds what is inside to raise nothing but an error of one line."""
    try:
        yield
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@cache
def pictures() -> list[bytes]:
    """A small picture in every format and mode that Pillow writes."""
    Image.init()
    noise_HxWx3 = np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8)
    found = []
    for name in Image.SAVE:
        for mode in MODES:
            buffer = io.BytesIO()
            with suppress(Exception):  # not every format has every mode
                Image.fromarray(noise_HxWx3).convert("L" if mode == "I;16" else "RGB").convert(mode).save(buffer, name)
                found.append(buffer.getvalue())
    return found


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are changed, lost, repeated or put in: often in the head, where it matters most."""
    content = draw(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(content), 64)) | st.integers(0, len(content)))
        before, behind = content[:place], content[place:]
        many = draw(st.integers(1, 40))
        new = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]))
        options = (before + new + behind[len(new) :], before + behind[many:], before + behind[:many] + behind, before)
        content = draw(st.sampled_from(options))
    return content


@st.composite
def odd(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with a value or a key changed, or lost, somewhere."""
    spoilt = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        node, key = draw(st.sampled_from(_places(spoilt)))
        match draw(st.sampled_from(["value", "value", "key", "lost"])):
            case "key" if isinstance(node, dict):
                node[draw(st.sampled_from([f"{key}s", "x", ""]) | texts)] = node.pop(key)
            case "lost":
                del node[key]
            case _:
                node[key] = draw(values)
        if not spoilt:
            break
    return spoilt


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every value in the tree, as what holds it and the key or index there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in items for place in ((tree, key), *_places(value))]


def as_json(tree: Any) -> st.SearchStrategy[bytes]:
    """Files of JSON: as they should be, with something odd in them, or damaged."""
    content = st.just(tree) | odd(tree)
    files = content.map(lambda tree: json.dumps(tree).encode())
    return files | damaged(files)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz")
    for number in range(4):
        Image.new("RGB", (8, 8)).save(path / f"{number}.png")
    return path


@given(content=damaged(st.deferred(lambda: st.sampled_from(pictures()))))
@pytest.mark.filterwarnings("ignore")
def test_pictures(content: bytes) -> None:
    """As ``prepare`` reads them: by Pillow, then by tensorflow."""
    from captioner.data.extractors import decoded

    with one_line():
        decoded(upright_bytes(content, "it"), "it")


@given(value=damaged(st.deferred(lambda: st.sampled_from(pictures()))) | values)
@pytest.mark.filterwarnings("ignore")
def test_what_is_sent_to_the_service(value: Any) -> None:
    with one_line():
        read_picture(value)


@given(content=as_json(ALBUM), skip=st.booleans())
def test_the_json_of_a_folder(content: bytes, skip: bool, folder: Path) -> None:
    (folder / "dataset.json").write_bytes(content)
    with one_line():
        read_album(folder, skip)


words = st.sampled_from([*SPECIAL_TOKENS, "[UNK]", "(", "...", "a dog", "שלום", "\x1b[2J"]) | st.text(max_size=5)


@given(captions=st.lists(st.lists(words).map(" ".join), min_size=1, max_size=4), vocab_size=st.integers(5, 60))
def test_captions(captions: list[str], vocab_size: int, folder: Path) -> None:
    """As ``tokenize-adapt`` takes them: the file holds the words, one a line, and ids lead back to them."""
    for split in ("train", "val"):
        write_captions(folder, split, CaptionTable([1], ["1.png"], [captions]))
    with one_line():
        made = tokenize_adapt(Text(vocab_size=vocab_size, max_length=9), folder, folder / "tokens")
        read = Vocabulary.read(folder / "tokens/vocabulary.txt")
        assert read == made
        known = {word for caption in captions for word in ptb_words(caption)} - {*SPECIAL_TOKENS, *BRACKETS.values()}
        assert set(read.tokens[len(SPECIAL_TOKENS) :]) <= known
        assert len(read) == min(vocab_size, len(SPECIAL_TOKENS) + len(known))


@given(tree=odd(PARAMS))
def test_parameters(tree: Any) -> None:
    with one_line():
        check_params(tree)


@given(content=damaged(st.just(yaml.safe_dump(PARAMS).encode())))
def test_params_yaml(content: bytes, folder: Path) -> None:
    (folder / "params.yaml").write_bytes(content)
    with one_line():
        read_params(folder / "params.yaml")


@pytest.fixture(scope="module")
def _no_java() -> Iterator[None]:
    """METEOR would take a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        yield


@given(captions=as_json(RESULTS), references=as_json(REFERENCES), split=st.sampled_from([None, None, "val"]))
@pytest.mark.usefixtures("_no_java")
def test_score(captions: bytes, references: bytes, split: str | None, folder: Path) -> None:
    (folder / "hyps.json").write_bytes(captions)
    (folder / "refs.json").write_bytes(references)
    with one_line(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        score_files(folder / "hyps.json", folder / "refs.json", split, as_json=False)
