"""prepare: run the frozen CNN once per picture; keep its features and the captions."""

from captioner.backend import use_backend
from captioner.config import Params
from captioner.stages import CHECKPOINTS, PREPARED, REPORTS, stage
from captioner.track.identity import prepare_hash


@stage
def main(params: Params) -> None:
    use_backend("tensorflow")
    from captioner.data.prepare import prepare

    kept = CHECKPOINTS / f"prepare-{prepare_hash(params)[:12]}"
    prepare(params.data, PREPARED, REPORTS, kept)


if __name__ == "__main__":
    main()
