"""The check that a record does not contradict itself, and the causes of differences that are named."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from helpers.repository import ROOT

from captioner.common.errors import UserError
from captioner.config.params import check_params, flatten
from captioner.tracking import tags as tag
from captioner.tracking.provenance import CodeVersion
from captioner.tracking.reproduce import Record, Source, check_consistency, compare_records
from captioner.tracking.run_hash import deciding_params, hash_identity


@pytest.fixture
def old_params() -> dict[str, Any]:
    """Return parameters as they were recorded before some keys existed."""
    tree: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    del tree["data"]["on_bad_image"], tree["train"]["monitor"], tree["train"]["profile"]
    return tree


@pytest.mark.parametrize(("key", "value"), [(None, None), ("data.on_bad_image", "skip"), ("model.units", "9")])
def test_record_without_newer_parameters_is_consistent(
    old_params: dict[str, Any], key: str | None, value: str | None
) -> None:
    identity = {"params": deciding_params(check_params(old_params))}
    assert not {"data.on_bad_image", "train.monitor", "train.profile"} & identity["params"].keys()
    logged = {name: str(leaf) for name, leaf in flatten(old_params)}
    source = Source(CodeVersion("", b""), yaml.safe_dump(old_params), None)
    tags = {tag.RUN_HASH: hash_identity(identity)}
    if key is None:
        check_consistency(source, identity, tags, logged)
    else:
        with pytest.raises(UserError, match=f"MLflow's parameters {key}: recorded {value}"):
            check_consistency(source, identity, tags, logged | {key: str(value)})


def test_verify_of_a_training_resumed_elsewhere_says_why_it_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    identity, here, elsewhere = {"params": {}}, {"cpu": "A"}, {"cpu": "B"}
    recorded = Record(identity, {"train.weights": "1" * 64}, here, [elsewhere])
    assert not compare_records(recorded, Record(identity, {"train.weights": "2" * 64}, here, []))
    printed = capsys.readouterr().out
    assert "environments: none" in printed
    assert "resumed in another environment, so the bits of the training may not repeat: cpu: recorded B, r" in printed


PARAMS_PATCH = """diff --git a/params.yaml b/params.yaml
--- a/params.yaml
+++ b/params.yaml
@@ -1 +1 @@
-seed: 1
+seed: 2
"""
CODE_PATCH = PARAMS_PATCH.replace("params.yaml", "src/captioner/cli.py")


@pytest.mark.parametrize(
    ("patch", "only_params"),
    [
        ("", True),
        (PARAMS_PATCH, True),
        (CODE_PATCH, False),
        (PARAMS_PATCH + CODE_PATCH, False),
        (PARAMS_PATCH.replace("+++ b/params.yaml", "+++ b/src/captioner/cli.py"), False),
        (
            "diff --git a/params.yaml b/cli.py\nsimilarity index 100%\nrename from params.yaml\nrename to cli.py\n",
            False,
        ),
        ("no patch", False),
    ],
)
def test_patch_needs_trust_unless_it_changes_only_params(patch: str, only_params: bool) -> None:
    assert CodeVersion("", patch.encode()).changes_only_params() == only_params
