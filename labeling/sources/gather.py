"""A mix of sources as a data set to learn from: every sample compared with its hash, the whole named in a manifest.

    DATASET/mix.json         the manifest: sources, shares, seed, and each sample to learn from with its hash
    DATASET/dataset.yaml     the classes of all, and `mix`: by which `qc train` learns from each source in its share
    DATASET/images/line-1__a.png   …, split.csv with the column `source`

Learning places crops on defects and so needs every mask at hand, again and again: the bytes are fetched once.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import yaml

from labeling.sources.catalogue import Opened
from labeling.sources.items import Item, translation
from labeling.sources.mix import Mix, part_of
from labeling.sources.reading import read_items
from labeling.sources.stream import READERS
from qc.dataset import SOURCE, SPLITS, WEIGHTS
from qc.errors import Conflict

TOGETHER = 32
"""Samples in memory at a time."""

_COLUMNS = ("file", "split", "part", "group", SOURCE)


def gather(opened: Sequence[Opened], weights: Sequence[float], out: Path, *, seed: int = 0) -> Mix:
    """Fetch the labelled samples of every split from opened sources into a new data-set folder, whole or not at all.

    Classes are matched by name. Parts and groups carry their source's name: two plants may both have a part 1.

    Args:
        opened: the sources, each once.
        weights: how often each is learnt from; only how they compare counts.
        out: a folder that does not exist.
        seed: of the mix.

    Returns:
        The mix of the samples to learn from.

    Raises:
        Conflict: `out` exists.
        InvalidInput: a source has no labelled sample to learn from, or a weight makes no sense.
        NotFound, Unavailable: a source is gone, away, or a sample is not what its index says.
    """
    if out.exists():
        raise Conflict(f"{out} exists already; name a new folder")
    names = [one.source.name for one in opened]
    mix = Mix([part_of(n, one.reader, w) for n, one, w in zip(names, opened, weights, strict=True)], seed=seed)
    classes = _classes(opened)
    out.parent.mkdir(parents=True, exist_ok=True)
    working = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(working, ignore_errors=True)
    try:
        for folder in ("images", "masks", WEIGHTS):
            (working / folder).mkdir(parents=True)
        rows = [row for one in opened for split in SPLITS for row in _fetch(one, split, classes, working)]
        with (working / "split.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, dict.fromkeys([*_COLUMNS, *(k for row in rows for k in row)]), restval="")
            table.writeheader()
            table.writerows(rows)
        manifest = mix.manifest()
        about = {
            "name": f"mix of {', '.join(names)}",
            "classes": classes,
            "licence": "; ".join(dict.fromkeys(one.source.licence for one in opened)),
            "source": "; ".join(one.source.url for one in opened),
            "mix": {"id": manifest["id"], "seed": seed, "per_thousand": dict(zip(names, mix.shares, strict=True))},
        }
        text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)  # the order of the sources counts
        (working / "dataset.yaml").write_text(text, encoding="utf-8")
        (working / "mix.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        working.rename(out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return mix


def _classes(opened: Sequence[Opened]) -> dict[int, str]:
    """Every class of any source, by name; the first source keeps its ids."""
    found: dict[int, str] = {}
    for one in opened:
        for class_id, name in one.reader.index.classes.items():
            if name not in found.values():
                free = class_id if class_id not in found else next(n for n in range(1, 255) if n not in found)
                found[free] = name
    return dict(sorted(found.items()))


def _fetch(one: Opened, split: str, classes: Mapping[int, str], folder: Path) -> list[dict[str, str]]:
    """Write the labelled samples of one split; their rows of split.csv."""
    name, theirs, rows = one.source.name, one.reader.index.classes, list[dict[str, str]]()
    entries = [entry for entry in one.reader.index.entries if entry.split == split and entry.mask is not None]
    same = all(classes.get(class_id) == word for class_id, word in theirs.items())
    with ThreadPoolExecutor(READERS) as pool:
        for begin in range(0, len(entries), TOGETHER):
            for item in read_items(name, one.reader, entries[begin : begin + TOGETHER], pool=pool):
                assert item.mask is not None
                file, stem = f"{name}__{item.entry.file}", f"{name}__{Path(item.entry.file).stem}"
                (folder / "images" / file).write_bytes(item.image)
                mask = item.mask if same else _translated(item, classes, theirs)
                (folder / "masks" / f"{stem}.png").write_bytes(mask)
                if item.weight is not None:
                    (folder / WEIGHTS / f"{stem}.png").write_bytes(item.weight)
                part = item.entry.row.get("part") or Path(item.entry.file).stem
                group = item.entry.row.get("group") or part
                own = {"file": file, "part": f"{name}/{part}", "group": f"{name}/{group}", SOURCE: name}
                rows.append({**item.entry.row, **own})
    return rows


def _translated(item: Item, mine: Mapping[int, str], theirs: Mapping[int, str]) -> bytes:
    """The mask with the class ids of the mix."""
    drawn: Any = translation(mine, theirs)[item.labels()]
    return bytes(cv2.imencode(".png", drawn)[1])
