"""The commands ``captioner caption``, ``score``, ``compare`` and ``leaderboard``; the others are in their packages."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from captioner.common.console import print_table
from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import DERIVED_KEYS, NEUTRAL_KEYS, read_params
from captioner.data.images import read_image
from captioner.decode.predictor import Predictor
from captioner.score.bootstrap import RESAMPLES, bootstrap_intervals
from captioner.score.caption_files import read_references, read_results
from captioner.score.comparability import explain_references
from captioner.score.compare import comparison_table, explain_different_sets
from captioner.score.leaderboard import LeaderboardRow, leaderboard_markdown
from captioner.score.meteor import meteor
from captioner.score.metrics import Scores, score_captions
from captioner.score.per_image import parse_per_image
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore, store_errors_in_one_line
from captioner.tracking.runs import find_run, scored_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

DECIMALS = 6  # as in reports/metrics.json
TABLE_WIDTH = 140  # characters, where standard output is not a terminal


def caption_files(files: list[Path], count: int, figure: bool) -> None:
    """Print ``count`` captions of each image, with the workspace's model; more than one are sampled, seeded.

    With ``figure``, the attention of each word of the first caption is drawn into ``NAME.attention.png`` in the current
    folder. NAME is from `figure_names`.

    Raises:
        UserError: a file is not an image, or the workspace has no trained model.
    """
    params, workspace = read_params(), Workspace()
    if not workspace.model_config.exists():
        folder = workspace.model.absolute()
        raise UserError(f"there is no trained model in {folder}: run `dvc repro` in the repository first")
    images = [read_image(file) for file in files]
    decode = params.decode if count == 1 else params.decode.model_copy(update={"strategy": "top_k"})
    predictor = Predictor(workspace.model, workspace.vocabulary, params.data.extractor, decode, params.text.max_length)
    from captioner.data.extractors import decode_image  # importable only once the backend is set

    for file, image in zip(files, images, strict=True):
        decode_image(image, str(file))
    seeds = [(params.seed, number) for number in range(count)]
    features_NxPxC = predictor.extractor.extract_from_bytes(images)
    captions_per_image = predictor.predict(features_NxPxC, seeds, min(decode.batch_size, count * len(images)))
    attention = predictor.attend(features_NxPxC, [captions[0] for captions in captions_per_image]) if figure else []
    names = figure_names(files)
    for row, (file, captions) in enumerate(zip(files, captions_per_image, strict=True)):
        if len(files) > 1 or count > 1:
            print(f"{file}:")
        for caption in captions:
            print(caption.text)
        if figure:
            from captioner.score.report.figures import draw_attention_maps

            path, image_SxSx3 = Path(f"{names[row]}.attention.png"), predictor.extractor.resized_image(images[row])
            draw_attention_maps(image_SxSx3, captions[0].words, attention[row], path)
            print(f"attention: {path}")


def figure_names(files: Sequence[Path]) -> list[str]:
    """Return a name for the figure of each file, different for different files.

    It is the stem of the file if no other file has this stem. Otherwise folders are put in front, as few as distinguish
    the files. Files that differ only in their suffix keep it.
    """
    paths = [file.parent.resolve() / file.name for file in files]
    names: dict[Path, str] = {}
    for ending, folders in itertools.product(("stem", "name"), range(max(len(path.parts) for path in paths))):
        labels = {path: "-".join((*path.parts[1:-1], getattr(path, ending))[-1 - folders :]) for path in paths}
        counts = Counter(labels.values())
        for path, label in labels.items():
            if counts[label] == 1 and label not in names.values():
                names.setdefault(path, label)
    # Hyphens in names can make even the longest labels equal.
    return [names.get(path, f"{row}-{path.name}") for row, path in enumerate(paths)]


def score_files(hypotheses: Path, references: Path, split: str | None, as_json: bool) -> None:
    """Print the scores of captions in COCO's results format; METEOR too if Java is installed.

    ``references`` holds COCO's annotations, or a Karpathy-style JSON with the split ``split``. The output also says
    which scores are void, or cannot be compared with published ones.

    Raises:
        UserError: a file is not in its format, or an image with a caption has no references.
    """
    captions = read_results(hypotheses)
    all_references = read_references(references, split)
    scored = {image_id: texts for image_id, texts in all_references.items() if image_id in captions}
    left_out = len(all_references) - len(scored)
    if left_out:
        print(f"{left_out} images of {references} have no caption and are left out", file=sys.stderr)
    scores = score_captions(captions, scored)
    intervals = bootstrap_intervals(scores)
    metrics = dict(scores.metrics)
    if shutil.which("java"):
        metrics["meteor"] = meteor(captions, scored)
    metrics = {name: round(value, DECIMALS) for name, value in sorted(metrics.items())}
    notes = explain_references(scored)
    if as_json:
        rounded = {name: [round(end, DECIMALS) for end in intervals[name]] for name in sorted(intervals)}
        print(json.dumps(metrics | {"intervals": rounded, "notes": notes}, indent=2))
        return
    table = Table("metric", "score", "95 % interval", title=f"{len(captions)} captions")
    for name, value in metrics.items():
        interval = "{:.4f} to {:.4f}".format(*intervals[name]) if name in intervals else ""
        table.add_row(name, f"{value:.4f}", interval)
    print_table(table, TABLE_WIDTH)
    print(f"intervals: bootstrap over images, {RESAMPLES} resamples; metrics as fractions, cider at most 10")
    for note in notes:
        print(f"note: {note}")


def compare_runs(first: str, second: str) -> None:
    """Print the difference of each metric between two runs, named as for `find_run`, with its 95 % interval.

    Raises:
        UserError: a run does not exist, or the two were not scored on the same evaluation set.
    """
    with store_errors_in_one_line():
        store = MlflowStore(create=False)
        runs = [find_run(store, name) for name in (first, second)]
        names = [str(run.info.run_name) for run in runs]
        reason = explain_different_sets(names, [run.data.tags.get(tag.EVALUATION_SET) for run in runs])
        if reason:
            raise UserError(reason)
        first_scores, second_scores = (_read_scores(store, run) for run in runs)
    print_table(comparison_table(names, first_scores, second_scores), TABLE_WIDTH)
    print(
        f"paired bootstrap over {len(first_scores.image_ids)} images, {RESAMPLES} resamples: it compares two sets of "
        "captions, not two recipes; train each recipe with several seeds to compare those"
    )


def print_leaderboard() -> None:
    """Print a Markdown table of all runs with scores, and write it to ``reports/leaderboard.md``.

    Raises:
        UserError: no run has scores.
    """
    with store_errors_in_one_line():
        store = MlflowStore(create=False)
        runs = scored_runs(store, "bleu_4")
    if not runs:
        raise UserError(f"{store.client.tracking_uri} holds no run with scores: `dvc repro` makes one")
    text = leaderboard_markdown([_leaderboard_row(run) for run in runs], {*DERIVED_KEYS, *NEUTRAL_KEYS})
    path = Workspace().leaderboard
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text, f"\nwritten: {path}", sep="")


def _read_scores(store: MlflowStore, run: Run) -> Scores:
    name = Workspace().per_image.name
    content = store.read_artifact(run.info.run_id, name)
    if content is None:
        raise UserError(f"run {run.info.run_name} has no {name}: it was not evaluated to its end; `dvc repro` logs it")
    return parse_per_image(content.decode())


def _leaderboard_row(run: Run) -> LeaderboardRow:
    tags, params = run.data.tags, run.data.params
    return LeaderboardRow(
        run=(tags.get(tag.RUN_HASH) or tags[tag.PARENT_HASH])[:12],
        commit=tags.get(tag.COMMIT, "")[:7],
        dataset=f"{tags.get(tag.DATASET) or params.get('data.name', '')} {params.get('decode.split', '')}",
        evaluation_set=tags.get(tag.EVALUATION_SET),
        params={key: value for key, value in params.items() if key not in ("data.name", "decode.split")},
        metrics=run.data.metrics,
        train_time=f"{tags[tag.TRAIN_SECONDS]} s" if tag.TRAIN_SECONDS in tags else "",
        device=tags.get(tag.DEVICE, ""),
    )
