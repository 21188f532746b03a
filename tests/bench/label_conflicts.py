"""Pieces whose exposures were given different classes: at which place of the queue of questions each is asked about::

    python tests/bench/label_conflicts.py ../shared/data/magnetic_tile

The truth is the column `class` of split.csv, written down by those who cut the pictures; the questions are those of
`qc data conflicts`, from the masks alone. `--aligned` registers the pictures first (minutes), which the crops of this
set were never cut for. Reported: how many of the pieces are among the first `--first` questions, and where they stand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from labeling.conflicts import find_conflicts
from qc.dataset import DataSet, open_dataset


def contradictory(data: DataSet) -> list[str]:
    """Parts with several classes in the column `class`; an exposure without a defect counts as a class of its own."""
    classes: dict[str, set[str]] = {}
    for sample in data.samples:
        classes.setdefault(sample.part, set()).add(sample.columns["class"])
    return sorted(part for part, names in classes.items() if len(names) > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--aligned", action="store_true", help="register the pictures of a piece first")
    args = parser.parse_args()
    data = open_dataset(args.dataset)
    queue = [q.part for q in find_conflicts(data, data.samples, align=args.aligned).questions]
    places = {part: queue.index(part) + 1 if part in queue else None for part in contradictory(data)}
    met = sum(place is not None and place <= args.first for place in places.values())
    print(f"{met} of {len(places)} contradictory pieces among the first {args.first} of {len(queue)} questions")
    print(json.dumps({"places": places, "questions": len(queue)}))


if __name__ == "__main__":
    main()
