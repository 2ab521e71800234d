"""sample: caption the pictures of a split with the trained model."""

from captioner.backend import use_backend
from captioner.config import Params
from captioner.stages import MODEL, PREPARED, REPORTS, TOKENS, stage


@stage
def main(params: Params) -> None:
    use_backend(params.train.backend, params.train.deterministic)
    from captioner.decode.sample import sample

    sample(params, PREPARED, TOKENS, MODEL, REPORTS / "captions.json", REPORTS / "attention")


if __name__ == "__main__":
    main()
