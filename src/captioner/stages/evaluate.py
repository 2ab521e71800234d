"""evaluate: score the captions against all true ones and draw what people look at."""

from captioner.config import Params
from captioner.score.evaluate import evaluate
from captioner.stages import MODEL, PREPARED, REPORTS, stage
from captioner.track.runs import record_scores


@stage
def main(params: Params) -> None:
    metrics = evaluate(
        captions=REPORTS / "captions.json",
        attention=REPORTS / "attention.npz",
        history=MODEL / "history.json",
        prepared=PREPARED,
        split=params.decode.split,
        figure_pictures=params.score.figure_pictures,
        out=REPORTS,
    )
    record_scores(params, metrics)


if __name__ == "__main__":
    main()
