"""The stage ``prepare``: run the frozen CNN once per image; keep its features and the captions."""

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.stages.hydra_app import stage
from captioner.tracking.run_hash import preparation_hash


@stage
def main(params: Params) -> None:
    use_backend("tensorflow")
    from captioner.data.preparation import prepare_dataset

    workspace = Workspace()
    unfinished = workspace.checkpoints / f"prepare-{preparation_hash(params)[:12]}"
    prepare_dataset(params.data, workspace, unfinished)


if __name__ == "__main__":
    main()
