"""Says how many captions of the built-in dataset name every thing's colour and shape rightly.

    PYTHONPATH=src python scripts/check_scenes.py

Compares reports/captions.json with the scenes that were drawn, and lists the captions that are wrong.
"""

from __future__ import annotations

import json
from pathlib import Path

from captioner.config import read_params
from captioner.data.grammar import names_all_things
from captioner.data.scenes import draw_scene


def main() -> None:
    """Prints the wrong captions and the share of right ones."""
    seed = read_params().data.seed
    results = json.loads(Path("reports/captions.json").read_text(encoding="utf-8"))
    wrong = [r for r in results if not names_all_things(r["caption"], draw_scene(seed, r["image_id"]))]
    for result in wrong:
        things = ", ".join(" ".join(thing.kind) for thing in draw_scene(seed, result["image_id"]).things)
        print(f"{result['image_id']}: {result['caption']!r} for {things}")
    right = len(results) - len(wrong)
    print(f"{right} of {len(results)} captions ({right / len(results):.1%}) name every colour and shape rightly")


if __name__ == "__main__":
    main()
