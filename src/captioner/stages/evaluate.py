"""evaluate: score the captions against all true ones and draw what people look at."""

from captioner.config import Params
from captioner.score.evaluate import evaluate
from captioner.stages import MODEL, PREPARED, RECORDED, REPORTS, TOKENS, stage
from captioner.track.runs import record_scores


@stage
def main(params: Params) -> None:
    metrics = evaluate(
        captions=REPORTS / "captions.json",
        attention=REPORTS / "attention",
        model=MODEL,
        prepared=PREPARED,
        tokens=TOKENS,
        split=params.decode.split,
        figure_pictures=params.score.figure_pictures,
        out=REPORTS,
    )
    record_scores(params, metrics)
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text("The run that reports/ shows is in MLflow.\n", encoding="utf-8")


if __name__ == "__main__":
    main()
