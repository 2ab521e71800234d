"""Measure `captioner score`: 5,000 captions with five references each, start-up and confidence intervals included.

PYTHONPATH=src python benchmarks/scoring.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import measure_seconds
from result import check_limit, print_results
from synthetic_data import make_captions


def main() -> None:
    """Print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=5_000)
    images = parser.parse_args().images
    with TemporaryDirectory() as folder:
        files = write_captions(Path(folder), images)
        command = [sys.executable, "-m", "captioner.cli", "score", *files, "--json"]
        # METEOR is not measured: it needs Java, which this PATH hides.
        variables = os.environ | {"PATH": str(Path(sys.executable).parent)}
        seconds = measure_seconds(
            lambda: subprocess.run(command, check=True, capture_output=True, env=variables), repetitions=1
        )
    print_results([check_limit(f"captioner score, {images} captions", "s", seconds, 10 * images / 5_000)])


def write_captions(folder: Path, images: int) -> tuple[str, str]:
    """Write generated and reference captions in COCO's formats; return their paths."""
    captions = make_captions(images, 10_000)
    references = [[" ".join(f"w{i}" for i in ids[:-1]) for ids in captions.of_image(row)] for row in range(images)]
    # The first half of a generated caption is from a reference of the image, the second from one of another image.
    random = np.random.default_rng(0)
    generated = [
        f"{' '.join(own[0].split()[:6])} {' '.join(references[random.integers(images)][1].split()[:5])}"
        for own in references
    ]
    results = [{"image_id": i, "caption": text} for i, text in enumerate(generated)]
    annotations = [{"image_id": i, "caption": text} for i, own in enumerate(references) for text in own]
    results_path, references_path = folder / "results.json", folder / "references.json"
    results_path.write_text(json.dumps(results))
    references_path.write_text(json.dumps({"annotations": annotations}))
    return str(results_path), str(references_path)


if __name__ == "__main__":
    main()
