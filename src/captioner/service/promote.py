"""`captioner promote`: makes a run's model the champion of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from captioner.config import Params, UserError, check_params, read_params
from captioner.track.identity import code_hashes, extractor_weights, flat
from captioner.track.runs import COMMIT, OF_RUN, PARAMS, PARENT, RUN_HASH, find_run, merit
from captioner.track.store import Tracker, refusals_in_one_line

if TYPE_CHECKING:
    from mlflow.entities import Run

MODEL = "captioner"
ALIAS = "champion"
SCORED_ON = ("data.name", "data.path", "data.seed", "data.limit", "decode.split")


@refusals_in_one_line()
def promote(name: str | None, force: bool) -> None:
    """Registers a run's model and gives it the alias ``champion``.

    Args:
        name: as `find_run` takes it; None for the best run of the workspace's dataset and split.
        force: also where it is worse than the champion, was scored on other pictures, or has other code.

    Raises:
        UserError: there is no such run, or it may not or cannot be promoted.
    """
    tracker, params = Tracker(), read_params()
    objective = params.score.objective
    run = find_run(tracker, name) if name else _best(tracker, params)
    if objective not in run.data.metrics:
        raise UserError(f"run {run.info.run_name} has no {objective}: it was not evaluated to its end")
    champion = _champion(tracker)
    if champion and champion.info.run_id == run.info.run_id:
        print(f"{_told(run, objective)} is the champion already")
        return
    if not force:
        _check(tracker, run, champion, objective)
    version = _version_of(tracker, run)
    tracker.client.set_registered_model_alias(MODEL, ALIAS, version)
    before = f", before it {_told(champion, objective)}" if champion else ""
    print(f"models:/{MODEL}@{ALIAS} is now version {version}: {_told(run, objective)}{before}")


def _told(run: Run, objective: str) -> str:
    return f"{run.info.run_name} ({objective} {run.data.metrics[objective]:.4f})"


def _best(tracker: Tracker, params: Params) -> Run:
    """The best of the runs that were scored on the workspace's pictures."""
    objective = params.score.objective
    wanted = {key: str(value) for key, value in flat(params.model_dump()) if key in SCORED_ON}
    runs = [run for tag in (RUN_HASH, OF_RUN) for run in tracker.find({tag: "%"}, like=True)]
    runs = [run for run in runs if objective in run.data.metrics and _scored_on(run) == wanted]
    if not runs:
        raise UserError(f"{tracker.client.tracking_uri} holds no run with {objective} on these pictures: `dvc repro`")
    return max(runs, key=lambda run: merit(objective, run.data.metrics[objective]))


def _champion(tracker: Tracker) -> Run | None:
    """The run of the champion; None where there is none."""
    if not tracker.client.search_registered_models(f"name = '{MODEL}'"):
        return None
    aliases = tracker.client.get_registered_model(MODEL).aliases
    if ALIAS not in aliases:
        return None
    return tracker.client.get_run(str(tracker.client.get_model_version(MODEL, aliases[ALIAS]).run_id))


def _check(tracker: Tracker, run: Run, champion: Run | None, objective: str) -> None:
    """Finds what speaks against promoting the run.

    Raises:
        UserError: something does.
    """
    if champion:
        if _scored_on(champion) != _scored_on(run):
            raise UserError(
                f"{run.info.run_name} and the champion {champion.info.run_name} were scored on other pictures, so "
                "nobody knows which is better: --force promotes it"
            )
        if merit(objective, run.data.metrics[objective]) < merit(objective, champion.data.metrics[objective]):
            raise UserError(
                f"{_told(run, objective)} is worse than the champion {_told(champion, objective)}: --force promotes it"
            )
    identity = json.loads(tracker.read(run.info.run_id, "identity.json") or b"{}")
    recorded = identity["code"] | {"the CNN's weights": identity["extractor_weights"]}
    present: dict[str, str | None] = dict(code_hashes(Path(), ("prepare", "tokenize-adapt", "train")))
    present["the CNN's weights"] = extractor_weights(_params_of(tracker, run), Path())
    changed = sorted(name for name in recorded.keys() | present if recorded.get(name) != present.get(name))
    if changed:
        raise UserError(
            f"what would be packed has changed since {run.info.run_name} ({', '.join(changed[:3])}): "
            f"`git checkout {run.data.tags[COMMIT][:12]}` first, or --force"
        )


def _params_of(tracker: Tracker, run: Run) -> Params:
    return check_params(yaml.safe_load(tracker.read(run.info.run_id, PARAMS.name) or b""))


def _scored_on(run: Run) -> dict[str, str]:
    return {key: run.data.params.get(key, "") for key in SCORED_ON}


def _version_of(tracker: Tracker, run: Run) -> str:
    """The run's version in the registry, made if there is none."""
    versions = tracker.client.search_model_versions(f"name = '{MODEL}' and run_id = '{run.info.run_id}'")
    if versions:
        return str(versions[0].version)
    from captioner.service.pack import pack  # slow to import

    # A run that was decoded in another way has its network in the run above it.
    trained = run.info.run_id if RUN_HASH in run.data.tags else run.data.tags[PARENT]
    return pack(tracker, MODEL, run.info.run_id, trained, _params_of(tracker, run))
