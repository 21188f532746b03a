"""Makes the starter model from nothing but this repository: `python -m segmentation.starter_recipe`.

Renders imaginary metal parts, trains on them, writes `segmentation/starter/`. Costs 15 minutes on one core. It
knows scratches, dents and pits on brushed, machined and coated metal, well enough that a new installation finds
something on its first day; it is meant to be replaced by a model trained on the user's own parts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

FOLDER = Path(__file__).parent / "starter"
PARTS = 160
"""Three views each: enough that a run of a quarter of an hour sees every one of them a few times."""

SEED = 20260

LOSS = "focal + dice"
"""What the model in the repository learnt with; its three classes are of like size."""


def make(out: Path, *, minutes: float, parts: int = PARTS, seed: int = SEED) -> None:
    """Render, train, write the model folder `out`; weights are stored in half precision (2 MB)."""
    from segmentation.config import TrainConfig
    from segmentation.render.write import render_dataset
    from segmentation.train import train

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        data = Path(folder) / "starter"
        render_dataset(data, parts, seed=seed)
        train(
            data,
            out,
            minutes=minutes,
            seed=seed,
            config=TrainConfig(loss=LOSS, begin="imagenet", frozen_stages=0),
            half=True,
            progress=_tell,
        )


def _tell(share: float, words: str) -> None:
    print(f"\r{100 * share:3.0f} %  {words:60.60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--minutes", type=float, default=14.0)
    parser.add_argument("--parts", type=int, default=PARTS)
    chosen = parser.parse_args()
    make(chosen.out, minutes=chosen.minutes, parts=chosen.parts)
