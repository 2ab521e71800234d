"""The stage ``train``: train the captioning network on features and token ids; keep the best epoch."""

import cProfile
import pstats
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from captioner.common.backend import use_backend, used_device
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.stages.hydra_app import stage
from captioner.tracking.environment import describe_environment, unused_gpu_warning
from captioner.tracking.run_logging import log_training


@stage
def main(params: Params) -> None:
    use_backend(params.train.backend, params.train.deterministic)
    from captioner.score.validation import make_scorer
    from captioner.train.trainer import train_model

    workspace = Workspace()
    environment = describe_environment(used_device())
    warning = unused_gpu_warning(environment)
    if warning:
        print(warning, file=sys.stderr)
    scorer = make_scorer(params.train.monitor, params.text.max_length, workspace)
    with log_training(params, environment) as run, _profile(workspace, params.train.profile):
        checkpoints = workspace.checkpoints / run.run_hash[:12]
        result = train_model(
            params.seed, params.model, params.train, workspace, checkpoints, environment, run.on_epoch_end, scorer
        )
        run.on_training_end(result.environments, result.resumed)


@contextmanager
def _profile(workspace: Workspace, enabled: bool) -> Iterator[None]:
    """Write the time that each function took to ``reports/profile.txt``, the slowest first."""
    if not enabled:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    workspace.reports.mkdir(exist_ok=True)
    with workspace.profile.open("w", encoding="utf-8") as file:
        pstats.Stats(profile, stream=file).sort_stats("cumulative").print_stats(80)
    print(f"profile: {workspace.profile}")


if __name__ == "__main__":
    main()
