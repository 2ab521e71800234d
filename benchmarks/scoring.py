"""evaluate's metrics: seconds for 5,000 captions with five references each, start-up and intervals included.

python benchmarks/scoring.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import made_up
import numpy as np
from rows import give, seconds_of, within


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5_000)
    pictures = parser.parse_args().pictures
    words = made_up.captions(pictures, 10_000)
    texts = [[" ".join(f"w{i}" for i in ids[:-1]) for ids in words.of_picture(row)] for row in range(pictures)]
    # A caption shares its first half with a reference.
    random = np.random.default_rng(0)
    written = [
        f"{' '.join(own[0].split()[:6])} {' '.join(texts[random.integers(pictures)][1].split()[:5])}" for own in texts
    ]
    with TemporaryDirectory() as name:
        results, references = Path(name) / "results.json", Path(name) / "references.json"
        results.write_text(json.dumps([{"image_id": i, "caption": text} for i, text in enumerate(written)]))
        annotations = [{"image_id": i, "caption": text} for i, own in enumerate(texts) for text in own]
        references.write_text(json.dumps({"annotations": annotations}))
        command = [sys.executable, "-m", "captioner.cli", "score", str(results), str(references), "--json"]
        # METEOR, which is left out, needs Java, which is found by PATH.
        bare = os.environ | {"PATH": str(Path(sys.executable).parent)}
        taken = seconds_of(lambda: subprocess.run(command, check=True, capture_output=True, env=bare), turns=1)
    give([within(f"captioner score, {pictures} captions", taken, "s", 10 * pictures / 5_000)])


if __name__ == "__main__":
    main()
