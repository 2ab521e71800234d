"""The stage ``sample``: caption the images of a split with the trained model."""

from captioner.common.backend import use_backend
from captioner.common.paths import Workspace
from captioner.config.params import Params
from captioner.stages.hydra_app import stage


@stage
def main(params: Params) -> None:
    use_backend(params.train.backend, params.train.deterministic)
    from captioner.decode.generate import caption_split

    caption_split(params.seed, params.text.max_length, params.decode, Workspace())


if __name__ == "__main__":
    main()
