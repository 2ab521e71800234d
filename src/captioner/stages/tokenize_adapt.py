"""The stage ``tokenize-adapt``: adapt the vocabulary to the training captions and turn all captions into token ids."""

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.stages.hydra_app import stage


@stage
def main(params: Params) -> None:
    use_backend("tensorflow")
    from captioner.text.adapt import tokenize_adapt

    workspace = Workspace()
    vocabulary = tokenize_adapt(params.text, workspace)
    print(f"{len(vocabulary)} words in {workspace.vocabulary}")


if __name__ == "__main__":
    main()
