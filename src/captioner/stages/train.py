"""train: fit the captioning network to the features and ids, and keep its best epoch."""

from captioner.backend import use_backend
from captioner.config import Params
from captioner.stages import CHECKPOINTS, FEATURES, MODEL, TOKENS, stage
from captioner.track.runs import watch_training


@stage
def main(params: Params) -> None:
    use_backend(params.train.backend, params.train.deterministic)
    from captioner.model.fit import train

    with watch_training(params) as run:
        train(params, FEATURES, TOKENS, MODEL, CHECKPOINTS / run.hash[:12], run.watch)


if __name__ == "__main__":
    main()
