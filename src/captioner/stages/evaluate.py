"""The stage ``evaluate``: score the captions against all references, write the report, and log both to MLflow."""

from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.score.evaluation import evaluate_captions
from captioner.stages.hydra_app import stage
from captioner.tracking.run_logging import log_scores


@stage
def main(params: Params) -> None:
    workspace = Workspace()
    metrics = evaluate_captions(workspace, params.decode.split, params.score.figure_pictures)
    address = log_scores(params, metrics)
    workspace.recorded.parent.mkdir(exist_ok=True)
    workspace.recorded.write_text("The run that reports/ shows is in MLflow.\n", encoding="utf-8")
    print(f"all runs: {address}")


if __name__ == "__main__":
    main()
