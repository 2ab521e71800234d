"""The ``captioner`` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Parses the command line; errors that a user can mend are one line and status 1."""
    parser = argparse.ArgumentParser(prog="captioner", description="Caption pictures with the model that you trained.")
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
    arguments = parser.parse_args()
    # Everything heavy is imported by the command that needs it: `captioner --help` answers at once.
    from captioner.config import UserError

    try:
        from captioner.photos import caption_photos

        caption_photos(arguments.photos, arguments.n, arguments.figure)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    main()
