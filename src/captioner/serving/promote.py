"""`captioner promote`: make a run's model the champion of MLflow's model registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import yaml

from captioner.common.errors import UserError
from captioner.common.paths import Workspace
from captioner.config.params import Params, check_params, read_params
from captioner.score.comparability import is_comparable_across_vocabularies, signed_score
from captioner.score.compare import explain_different_sets
from captioner.tracking import tags as tag
from captioner.tracking.mlflow_store import MlflowStore, store_errors_in_one_line
from captioner.tracking.run_hash import code_hashes, evaluation_set_hash, extractor_weights_hash
from captioner.tracking.runs import IDENTITY_FILE, find_run, scored_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

MODEL = "captioner"
ALIAS = "champion"


@store_errors_in_one_line()
def promote(name: str | None, force: bool) -> None:
    """Register a run's model and give it the alias ``champion``.

    Args:
        name: as for `find_run`; None for the best run on the workspace's evaluation set.
        force: also promote a run that is worse than the champion, cannot be compared with it, or has other code.

    Raises:
        UserError: the run does not exist, fails a check, or cannot be packed.
    """
    store, params = MlflowStore(create=False), read_params()
    objective = params.score.objective
    run = find_run(store, name) if name else _find_best_run(store, params)
    if objective not in run.data.metrics:
        raise UserError(f"run {run.info.run_name} has no {objective}: its evaluation was not logged completely")
    champion = _find_champion(store)
    if champion and champion.info.run_id == run.info.run_id:
        print(f"{_describe(run, objective)} is the champion already")
        return
    if not force:
        if champion:
            _check_better(run, champion, objective)
        _check_code_unchanged(store, run)
    version = _find_or_pack_version(store, run)
    store.client.set_registered_model_alias(MODEL, ALIAS, version)
    previous = f", previously {_describe(champion, objective)}" if champion else ""
    print(f"models:/{MODEL}@{ALIAS} is now version {version}: {_describe(run, objective)}{previous}")


def _describe(run: Run, objective: str) -> str:
    return f"{run.info.run_name} ({objective} {run.data.metrics[objective]:.4f})"


def _find_best_run(store: MlflowStore, params: Params) -> Run:
    """Return the best of the runs that were scored on the workspace's evaluation set.

    Raises:
        UserError: there is no such run, or the objective cannot be compared between them.
    """
    objective = params.score.objective
    evaluation_set = evaluation_set_hash(Workspace(), params.decode.split)
    runs = [run for run in scored_runs(store, objective) if run.data.tags.get(tag.EVALUATION_SET) == evaluation_set]
    if not runs:
        raise UserError(f"{store.client.tracking_uri} holds no run with {objective} on these images: `dvc repro`")
    reason = _explain_vocabularies(runs, objective)
    if reason:
        raise UserError(f"{reason}: name the run to promote, or set score.objective to another metric")
    return max(runs, key=lambda run: signed_score(objective, run.data.metrics[objective]))


def _find_champion(store: MlflowStore) -> Run | None:
    """Return the champion's run, or None if there is no champion."""
    if not store.client.search_registered_models(f"name = '{MODEL}'"):
        return None
    aliases = store.client.get_registered_model(MODEL).aliases
    if ALIAS not in aliases:
        return None
    return store.client.get_run(str(store.client.get_model_version(MODEL, aliases[ALIAS]).run_id))


def _check_better(run: Run, champion: Run, objective: str) -> None:
    """Check that a run is not worse than the champion.

    Raises:
        UserError: the run is worse, or the two cannot be compared.
    """
    names = [str(run.info.run_name), f"the champion {champion.info.run_name}"]
    evaluation_sets = [scored.data.tags.get(tag.EVALUATION_SET) for scored in (run, champion)]
    reason = explain_different_sets(names, evaluation_sets) or _explain_vocabularies([run, champion], objective)
    if reason:
        raise UserError(f"{reason}; --force promotes {run.info.run_name} without a comparison")
    score, best = (signed_score(objective, scored.data.metrics[objective]) for scored in (run, champion))
    if score < best:
        raise UserError(
            f"{_describe(run, objective)} is worse than the champion {_describe(champion, objective)}: "
            "--force promotes it"
        )


def _check_code_unchanged(store: MlflowStore, run: Run) -> None:
    """Check that the code and the CNN in the workspace, which would be packed, are those of the run.

    Raises:
        UserError: they have changed.
    """
    identity = store.read_json(run.info.run_id, IDENTITY_FILE)
    weights_key = "the CNN's weights"
    recorded: dict[str, str | None] = identity["code"] | {weights_key: identity["extractor_weights"]}
    present: dict[str, str | None] = dict(code_hashes(Workspace()))
    present[weights_key] = extractor_weights_hash(_read_run_params(store, run), Workspace())
    changed = sorted(name for name in recorded.keys() | present if recorded.get(name) != present.get(name))
    if changed:
        raise UserError(
            f"files that would be packed have changed since {run.info.run_name} ({', '.join(changed[:3])}): "
            f"`git checkout {run.data.tags[tag.COMMIT][:12]}` first, or --force"
        )


def _read_run_params(store: MlflowStore, run: Run) -> Params:
    return check_params(yaml.safe_load(store.read_artifact(run.info.run_id, Workspace().params.name) or b""))


def _explain_vocabularies(runs: Sequence[Run], objective: str) -> str | None:
    """Return why the runs cannot be compared by the objective, or None if they can."""
    text_params = {
        frozenset((key, value) for key, value in run.data.params.items() if key.startswith("text.")) for run in runs
    }
    if is_comparable_across_vocabularies(objective) or len(text_params) == 1:
        return None
    keys = sorted({key for key, _ in frozenset.union(*text_params) - frozenset.intersection(*text_params)})
    names = ", ".join(str(run.info.run_name) for run in runs[:3]) + ", ..." * (len(runs) > 3)
    return f"{names} differ in {', '.join(keys)}, and {objective} cannot be compared across vocabularies"


def _find_or_pack_version(store: MlflowStore, run: Run) -> str:
    """Return the run's version in the registry; pack the run if it has none."""
    versions = store.client.search_model_versions(f"name = '{MODEL}' and run_id = '{run.info.run_id}'")
    if versions:
        return str(versions[0].version)
    from captioner.serving.pack import pack  # slow to import

    # A child run, which only repeats the decoding, has its network in its parent.
    trained_id = run.info.run_id if tag.RUN_HASH in run.data.tags else run.data.tags[tag.PARENT_RUN]
    return pack(store, MODEL, run.info.run_id, trained_id, _read_run_params(store, run))
