"""The ``captioner`` command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    """Parses the command line; errors that a user can mend are one line and status 1."""
    arguments = _parser().parse_args()
    # Everything heavy is imported by the command that needs it: `captioner --help` answers at once.
    from captioner.config import errors_in_one_line

    with errors_in_one_line():
        try:
            sys.exit(_run(arguments))
        except BrokenPipeError:  # `| head` has seen enough; Python would complain again as it closes the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="captioner", description="Caption pictures, and prove where a model is from.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    caption = commands.add_parser("caption", help="captions for any picture, with the trained model")
    caption.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO", help="a picture in any format that Pillow reads"
    )
    caption.add_argument(
        "-n", type=_at_least_one, default=1, metavar="N", help="so many captions a picture, drawn at random"
    )
    caption.add_argument(
        "--figure", action="store_true", help="draw where the model looked: PHOTO's name + .attention.png"
    )
    score = commands.add_parser("score", help="every metric for a file of captions and a file of true ones")
    score.add_argument("captions", type=Path, metavar="HYPS", help="COCO's results format")
    score.add_argument("references", type=Path, metavar="REFS", help="COCO's annotations, or a Karpathy-style JSON")
    score.add_argument("--split", help="of the Karpathy-style JSON")
    score.add_argument("--json", action="store_true", help="for programs, with the keys of reports/metrics.json")
    commands.add_parser("verify", help="train the workspace's run again in a clean copy and compare every hash")
    compare = commands.add_parser("compare", help="whether the second run's captions are better than the first's")
    compare.add_argument("runs", nargs=2, metavar="RUN", help="an MLflow run id, or a run hash or its beginning")
    commands.add_parser("leaderboard", help="a table of all runs, also as reports/leaderboard.md")
    promote = commands.add_parser("promote", help="make a run's model models:/captioner@champion, for `mlflow models`")
    promote.add_argument(
        "run", nargs="?", metavar="RUN", help="an MLflow run id, or a run hash or its beginning; else the best run"
    )
    promote.add_argument("--force", action="store_true", help="also where it is worse than the champion")
    reproduce = commands.add_parser("reproduce", help="rebuild a run from its record and compare every hash")
    reproduce.add_argument("run", metavar="RUN", help="an MLflow run id, or a run hash or its beginning")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    """Does what the command says; the exit status."""
    match arguments.command:
        case "caption":
            from captioner.photos import caption_photos

            caption_photos(arguments.photos, arguments.n, arguments.figure)
        case "score":
            from captioner.judge import score_files

            score_files(arguments.captions, arguments.references, arguments.split, arguments.json)
        case "compare":
            from captioner.judge import compare_runs

            compare_runs(*arguments.runs)
        case "leaderboard":
            from captioner.judge import leaderboard

            leaderboard()
        case "promote":
            from captioner.service.promote import promote

            promote(arguments.run, arguments.force)
        case _:
            from captioner.track import rebuild

            equal = rebuild.verify() if arguments.command == "verify" else rebuild.reproduce(arguments.run)
            return 0 if equal else 1
    return 0


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, at least 1")
    return int(text)


if __name__ == "__main__":
    main()
