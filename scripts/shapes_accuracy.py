"""Print the share of generated captions that name the colour and shape of every object of the built-in dataset.

    PYTHONPATH=src python scripts/shapes_accuracy.py

Compares reports/captions.json with the scenes, and lists the wrong captions.
"""

from __future__ import annotations

import json

from captioner.common.paths import Workspace
from captioner.config.params import read_params
from captioner.data.datasets.shapes.scene import sample_scene
from captioner.data.datasets.shapes.templates import names_all_objects


def main() -> None:
    """Print the wrong captions and the share of correct ones."""
    seed = read_params().data.seed
    results = json.loads(Workspace().generated_captions.read_text(encoding="utf-8"))
    wrong = [r for r in results if not names_all_objects(r["caption"], sample_scene(seed, r["image_id"]))]
    for result in wrong:
        objects = ", ".join(" ".join(obj.attributes) for obj in sample_scene(seed, result["image_id"]).objects)
        print(f"{result['image_id']}: {result['caption']!r} for {objects}")
    correct = len(results) - len(wrong)
    print(f"{correct} of {len(results)} captions ({correct / len(results):.1%}) name every colour and shape correctly")


if __name__ == "__main__":
    main()
