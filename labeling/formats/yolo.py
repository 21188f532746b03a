"""YOLO's segmentation format: `images/<split>/`, `labels/<split>/<name>.txt` with a polygon a line, `data.yaml`.

Polygons run along the edges of pixels, so that they come back to the pixel. A polygon has no holes, and an empty file
means clean: holes are filled, images without labels left out, and both are counted.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from labeling.formats.common import ENDINGS, Builder, Passed, link, lose_the_rest, size_of, whole
from labeling.outlines import inside, outline
from qc.dataset import IGNORE, SPLITS, DataSet, Sample
from qc.errors import InvalidInput
from qc.plain_yaml import parsed

DIGITS = 8
"""Of a coordinate as a share of the side: on 200 Mpx frames the error is below a thousandth of a pixel."""


def write(data: DataSet, out: Path) -> Passed:
    """Write a data set as YOLO segmentation; raises Conflict if `out` exists."""
    passed, written = Passed(), list[Sample]()
    order = {class_id: k for k, class_id in enumerate(sorted(data.classes))}
    with whole(out) as work:
        for sample in data.samples:
            if sample.mask is None:
                passed.lose("images without labels left out")
                continue
            mask = sample.labels(data.classes)
            passed.lose("images with pixels that nobody knows, which count as good here", int((mask == IGNORE).any()))
            lines = []
            height, width = mask.shape
            for class_id, k in order.items():
                number, labels, stats, _ = cv2.connectedComponentsWithStats(
                    (mask == class_id).astype(np.uint8), None, None, None, 4
                )
                for n in range(1, number):
                    x, y, w, h, area = (int(v) for v in stats[n])
                    ring = outline(labels[y : y + h, x : x + w] == n)
                    passed.lose("holes filled", int(inside(ring, height=h, width=w).sum() != area))
                    points = (ring + np.array([x, y])) / np.array([width, height])
                    lines.append(" ".join([str(k), *(f"{v:.{DIGITS}f}" for v in points.ravel())]))
            target = work / "labels" / sample.split / f"{sample.name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            link(sample.image, work / "images" / sample.split / sample.image.name)
            passed.images += 1
            written.append(sample)
            passed.defects += len(lines)
        sides = {s: f"images/{s}" for s in SPLITS if (work / "images" / s).is_dir()}
        about = {"path": ".", **sides, "names": {k: data.classes[c] for c, k in order.items()}}
        (work / "data.yaml").write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True), encoding="utf-8")
    lose_the_rest(passed, data, written, parts=False, licence=False)
    return passed


def read(folder: Path, out: Path) -> Passed:
    """Make a data set of a YOLO segmentation folder; class k becomes class id k + 1.

    Raises:
        InvalidInput: no data.yaml, a class it does not name, or a line that is no polygon. Conflict: `out` exists.
    """
    try:
        about = parsed((folder / "data.yaml").read_text(encoding="utf-8"))
        names = about["names"]
        classes = {int(k) + 1: str(n) for k, n in (names.items() if isinstance(names, dict) else enumerate(names))}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{folder}/data.yaml cannot be read: {error}") from error
    passed = Passed()
    with whole(out) as work:
        builder = Builder(work, classes, name=out.name, source="YOLO segmentation")
        for split in SPLITS:
            place = folder / "images" / split
            for image in sorted(p for p in place.iterdir() if p.suffix.lower() in ENDINGS) if place.is_dir() else []:
                text = folder / "labels" / split / f"{image.stem}.txt"
                if not text.is_file():
                    passed.lose("images without a label file, which are not labelled here")
                    builder.add(image, None, split=split)
                else:
                    mask = _mask(text, size_of(image), classes)
                    builder.add(image, mask, split=split)
                    passed.defects += sum(1 for line in text.read_text(encoding="utf-8").splitlines() if line.strip())
                passed.images += 1
        builder.finish()
    passed.lose("images without a part, each now a part of its own", passed.images)
    return passed


def _mask(text: Path, shape: tuple[int, int], classes: dict[int, str]) -> NDArray[np.uint8]:
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    for number, line in enumerate(text.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            class_id, values = int(words[0]) + 1, np.array([float(w) for w in words[1:]])
        except ValueError as error:
            raise InvalidInput(f"{text.name} line {number}: {error}") from error
        if class_id not in classes:
            raise InvalidInput(f"{text.name} line {number}: data.yaml names no class {words[0]}")
        if len(values) < 6 or len(values) % 2 or not np.isfinite(values).all():
            raise InvalidInput(f"{text.name} line {number} is no polygon of three or more corners")
        ring = values.reshape(-1, 2) * [width, height]
        mask[inside(ring, height=height, width=width)] = class_id
    return mask
