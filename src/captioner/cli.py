"""The ``captioner`` command: its arguments, and which function each command calls."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from captioner.common.errors import errors_in_one_line

RUN_HELP = "an MLflow run id, or a run hash or the beginning of one"


def main() -> None:
    """Parse the command line and run the command; an error that the user can fix is one line and status 1."""
    arguments = _parser().parse_args()
    with errors_in_one_line():
        try:
            sys.exit(_run(arguments))
        except BrokenPipeError:  # `| head` closed the pipe; Python would complain again when it flushes
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="captioner", description="Train, score, compare, reproduce and serve image-captioning models."
    )
    parser.add_argument("--version", action="version", version=f"captioner {version('captioner')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    caption = commands.add_parser("caption", help="caption image files with the workspace's model")
    caption.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="an image file in any format that Pillow reads"
    )
    caption.add_argument(
        "-n", type=_positive_int, default=1, metavar="N", help="captions per image; more than one are sampled"
    )
    caption.add_argument("--figure", action="store_true", help="draw the attention of each word: NAME.attention.png")
    score = commands.add_parser("score", help="score a file of captions against a file of references")
    score.add_argument("captions", type=Path, metavar="HYPS", help="COCO's results format")
    score.add_argument("references", type=Path, metavar="REFS", help="COCO's annotations, or a Karpathy-style JSON")
    score.add_argument("--split", help="the split of the Karpathy-style JSON")
    score.add_argument("--json", action="store_true", help="print JSON with the keys of reports/metrics.json")
    compare = commands.add_parser("compare", help="test whether two runs' scores differ significantly")
    compare.add_argument("runs", nargs=2, metavar="RUN", help=RUN_HELP)
    commands.add_parser("leaderboard", help="list all runs, best first; also written to reports/leaderboard.md")
    promote = commands.add_parser("promote", help="register a run's model as models:/captioner@champion")
    promote.add_argument("run", nargs="?", metavar="RUN", help=f"{RUN_HELP}; the best run if omitted")
    promote.add_argument("--force", action="store_true", help="promote even if it is worse than the champion")
    commands.add_parser("verify", help="train the workspace's run again in a clean copy and compare every hash")
    reproduce = commands.add_parser("reproduce", help="rebuild a run from its record and compare every hash")
    reproduce.add_argument("run", metavar="RUN", help=RUN_HELP)
    reproduce.add_argument(
        "--trust", action="store_true", help="run the record's uncommitted changes even if they were made elsewhere"
    )
    sweep = commands.add_parser("sweep", help="run every combination of parameters: captioner sweep model.units=64,128")
    sweep.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY=A,B", help="Hydra multirun overrides")
    params = commands.add_parser("params", help="write params.yaml as the composition of conf/")
    params.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status. Each branch imports what it needs: `--help` answers at once."""
    from captioner import commands

    match arguments.command:
        case "caption":
            commands.caption_files(arguments.images, arguments.n, arguments.figure)
        case "score":
            commands.score_files(arguments.captions, arguments.references, arguments.split, arguments.json)
        case "compare":
            commands.compare_runs(*arguments.runs)
        case "leaderboard":
            commands.print_leaderboard()
        case "promote":
            from captioner.serving.promote import promote

            promote(arguments.run, arguments.force)
        case "verify":
            from captioner.tracking.reproduce import verify

            return 0 if verify() else 1
        case "reproduce":
            from captioner.tracking.reproduce import reproduce

            return 0 if reproduce(arguments.run, arguments.trust) else 1
        case "sweep":
            from captioner.sweep.__main__ import main as run_sweep

            run_sweep(["-m", *arguments.overrides])
        case "params":
            from captioner.config.compose import write_params

            write_params(arguments.overrides)
    return 0


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, at least 1")
    return int(text)


if __name__ == "__main__":
    main()
