"""prepare: run the frozen CNN once per picture; keep its features and the captions."""

from captioner.backend import use_backend
from captioner.config import Params
from captioner.stages import PREPARED, REPORTS, stage


@stage
def main(params: Params) -> None:
    use_backend("tensorflow")
    from captioner.data.prepare import prepare

    prepare(params.data, params.seed, PREPARED, REPORTS / "figures" / "samples.png")


if __name__ == "__main__":
    main()
