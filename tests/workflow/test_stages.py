"""The five stages, run for real in a temporary repository: their outputs, and the changes that rerun them."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from pathlib import Path

import pytest
import yaml
from helpers.repository import ROOT, SMALL, STAGES, changed, compose, make_repo, read_outs_in_lock, run
from PIL import Image

# Changes in these packages rerun no stage: tracking records results, and config checks the whole of params.yaml.
PACKAGES_WITHOUT_DEPS = ("captioner.tracking", "captioner.config")


def test_captions_of_the_whole_split_are_in_cocos_results_format(repo: Path) -> None:
    import pyarrow.parquet as pq

    results = json.loads((repo / "reports/captions.json").read_text())
    assert all(set(result) == {"image_id", "caption"} for result in results)
    table = pq.read_table(repo / "data/prepared/captions/val.parquet").to_pydict()
    assert [result["image_id"] for result in results] == table["image_id"]
    assert len(results) == 48


def test_evaluate_writes_metrics_figures_and_page(repo: Path) -> None:
    metrics = json.loads((repo / "reports/metrics.json").read_text())
    names = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "val_loss", "val_loss_word"}
    names |= {"distinct", "novel", "unfinished", "repeating", "vocabulary_used", "mean_length"}
    assert set(metrics) == names
    figures = repo / "reports/figures"
    for name in ("samples.png", "model.png", "loss.png", "captions.png"):
        Image.open(figures / name).verify()
    assert len(list((figures / "attention").glob("*.png"))) == 3
    page = (repo / "reports/index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)


def test_mlflow_has_one_run_with_metrics_and_artifacts(repo: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repo / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("captioner")
    (row,) = client.search_runs([experiment.experiment_id])
    assert row.info.status == "FINISHED"
    assert row.info.run_name.startswith(row.data.tags["captioner.run_hash"][:12])
    assert row.data.params["model.units"] == "32"
    assert {"bleu_4", "cider", "val_loss", "loss", "learning_rate", "captions_per_second"} <= set(row.data.metrics)
    assert len(client.get_metric_history(row.info.run_id, "val_loss")) >= 2
    assert len(client.get_metric_history(row.info.run_id, "step_loss")) == 2 * 3
    artifacts = {artifact.path for artifact in client.list_artifacts(row.info.run_id)}
    assert {"captioner", "vocabulary.txt", "params.yaml", "captions.json", "figures", "index.html"} <= artifacts
    nested = {
        artifact.path for name in ("captioner", "figures") for artifact in client.list_artifacts(row.info.run_id, name)
    }
    assert {"captioner/summary.txt", "figures/model.png"} <= nested


def test_plots_show_the_scores_of_two_revisions(repo: Path) -> None:
    run(repo, "dvc", "exp", "save", "-n", "before")
    path = repo / "reports/scores.csv"
    original, modified = path.read_text(), "metric,score\nbleu_4,0.75\ncider,1.5\n"
    path.unlink()  # it may be a link into the cache
    try:
        path.write_text(modified)
        text = run(repo, "dvc", "plots", "diff", "before", "workspace", "--json")
    finally:
        run(repo, "dvc", "checkout", "-f", "reports/scores.csv")
        run(repo, "dvc", "exp", "remove", "before")
    assert path.read_text() == original
    assert "<DVC_METRIC" not in text
    plots = json.loads(text)["data"]
    assert {row["rev"] for row in plots["losses"][0]["content"]["data"]["values"]} == {"before", "workspace"}
    (scores,) = plots["scores"]
    rows = [",".join((row["rev"], row["metric"], row["score"])) for row in scores["content"]["data"]["values"]]
    expected = {"workspace": modified, "before": original}
    assert rows == [f"{rev},{line}" for rev, table in expected.items() for line in table.splitlines()[1:]]
    for panel in scores["content"]["vconcat"]:
        assert {axis: panel["encoding"][axis]["field"] for axis in ("x", "y", "yOffset")} == {
            "x": "score",
            "y": "metric",
            "yOffset": "rev",
        }
        assert panel["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["workspace", "before"]


def test_a_second_repro_does_nothing(repo: Path) -> None:
    assert "Running stage" not in run(repo, "dvc", "repro")


def stages_to_rerun(repo: Path) -> list[str]:
    """Return the stages that `dvc repro` would run: the changed ones, and all that depend on their outs."""
    stages = yaml.safe_load((repo / "dvc.yaml").read_text())["stages"]
    changed_stages = set(json.loads(run(repo, "dvc", "status", "--json")))
    for name in STAGES:
        outs = [out for other in changed_stages & set(STAGES) for out in stages[other]["outs"] if isinstance(out, str)]
        if set(outs) & set(stages[name]["deps"]):
            changed_stages.add(name)
    return [name for name in STAGES if name in changed_stages]


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("params.yaml", "beam_size: 2", "beam_size: 3", ["sample", "evaluate"]),
        ("params.yaml", "vocab_size: 10000", "vocab_size: 40", ["tokenize-adapt", "train", "sample", "evaluate"]),
        ("params.yaml", "attention_dim: 32", "attention_dim: 48", ["train", "sample", "evaluate"]),
        ("params.yaml", "figure_pictures: 3", "figure_pictures: 4", ["evaluate"]),
        ("params.yaml", "limit: 48", "limit: 47", STAGES),
        ("src/captioner/score/evaluation.py", '"""', '"""More. ', ["evaluate"]),
        ("src/captioner/score/comparability.py", '"""', '"""More. ', ["evaluate"]),
        ("src/captioner/score/metrics.py", '"""', '"""More. ', ["train", "sample", "evaluate"]),
        ("src/captioner/decode/strategy.py", '"""', '"""More. ', ["train", "sample", "evaluate"]),
        ("src/captioner/stages/sample.py", '"""', '"""More. ', ["sample", "evaluate"]),
        ("src/captioner/tracking/runs.py", '"""', '"""More. ', []),
        ("src/captioner/config/params.py", '"""', '"""More. ', []),
        ("conf/model/default.yaml", "units: 128", "units: 64", []),
        ("README.md", "#", "##", []),
    ],
)
def test_change_reruns_the_stages_it_affects(repo: Path, file: str, old: str, new: str, expected: list[str]) -> None:
    with changed(repo / file, old, new):
        assert stages_to_rerun(repo) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train/config.py", ["train", "sample", "evaluate"]),
        ("train/trainer.py", ["train", "sample", "evaluate"]),
        ("score/config.py", []),
    ],
)
def test_comment_leaves_the_stages_of_earlier_packages_unchanged(repo: Path, file: str, expected: list[str]) -> None:
    path = repo / "src/captioner" / file
    code = path.read_text()
    with changed(path, code, f"{code}# A comment.\n"):
        assert stages_to_rerun(repo) == expected


def test_new_parameter_of_train_leaves_earlier_stages_unchanged(repo: Path) -> None:
    path = repo / "src/captioner/train/config.py"
    with changed(path, "    deterministic: bool\n", "    deterministic: bool\n    new_parameter: int = 1\n"):
        assert stages_to_rerun(repo) == ["train", "sample", "evaluate"]


def collect_imports(module: str, visited: set[str]) -> set[str]:
    """Return the project's modules that ``module`` imports, also indirectly and inside functions.

    Modules of `PACKAGES_WITHOUT_DEPS` and their imports are left out.
    """
    parts = module.split(".")
    path = ROOT / "src" / Path(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file() or module in visited or module.startswith(PACKAGES_WITHOUT_DEPS):
        return visited
    visited.add(module)
    if len(parts) > 1:
        collect_imports(module.rpartition(".")[0], visited)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "captioner":
                collect_imports(name, visited)
    return visited


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_are_exactly_its_imports(stage: str) -> None:
    deps = [dep for dep in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"] if "src/" in dep]
    imported = set()
    for module in collect_imports(f"captioner.stages.{stage.replace('-', '_')}", set()):
        path = Path("src", *module.split("."))
        file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        imported.add(file.as_posix())
    covered = {name for name in imported if any(name == dep or name.startswith(f"{dep}/") for dep in deps)}
    assert imported - covered == set(), "imported, but not in deps"
    unused = [dep for dep in deps if not any(name == dep or name.startswith(f"{dep}/") for name in imported)]
    assert unused == [], "in deps, but not imported"


@pytest.mark.slow
def test_repository_in_another_folder_gives_the_same_bytes(repo: Path, datasets: Path, tmp_path: Path) -> None:
    other = make_repo(tmp_path)
    compose(other, *SMALL, f"data.data_dir={datasets}")
    run(other, "dvc", "repro")
    assert read_outs_in_lock(other) == read_outs_in_lock(repo)


@pytest.mark.slow
def test_jax_backend_gives_the_same_bytes_twice(repo: Path, datasets: Path) -> None:
    compose(repo, *SMALL, f"data.data_dir={datasets}", "train.backend=jax")
    try:
        run(repo, "dvc", "repro")
        lock = (repo / "dvc.lock").read_text()
        run(repo, "dvc", "repro", "-f", "-s", "train", "sample", "evaluate")
        assert (repo / "dvc.lock").read_text() == lock
    finally:
        compose(repo, *SMALL, f"data.data_dir={datasets}")
        run(repo, "dvc", "repro")


@pytest.mark.slow
def test_copy_of_the_repository_runs_its_own_code_and_logs_to_the_repository(repo: Path, datasets: Path) -> None:
    """Run an experiment in a copy. It must import the code of the copy, not the installed package."""
    marker = "code of the copy"
    script = repo / "src/captioner/stages/evaluate.py"
    with changed(script, "from captioner.config", f"print({marker!r})\nfrom captioner.config"):
        overrides = [*SMALL, f"data.data_dir={datasets}", "model.units=24"]
        printed = run(repo, "dvc", "exp", "run", "--temp", *(word for item in overrides for word in ("-S", item)))
    assert marker in printed
    with sqlite3.connect(repo / "mlflow.db") as database:
        rows = database.execute("select artifact_uri from runs order by start_time").fetchall()
    assert len(rows) >= 2
    artifacts = Path(rows[-1][0].removeprefix("file://"))
    assert artifacts.is_relative_to(repo)
    assert (artifacts / "captions.json").is_file()
    run(repo, "git", "checkout", "-q", "reports/metrics.json")
